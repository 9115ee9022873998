/**
 * The bare relay: what this runtime can do at all. It reads just enough of MQTT to know where a PUBLISH
 * at QoS 0 goes, checks nothing, keeps nothing, and writes once a turn to each subscriber.
 */
import { createServer, type Socket } from "node:net";

const subscribers = new Map<string, Socket[]>();
const pending = new Map<Socket, Uint8Array[]>();

function flush(): void {
  for (const [socket, parts] of pending) socket.write(Buffer.concat(parts));
  pending.clear();
}

function relay(socket: Socket): void {
  let partial: Buffer = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    const bytes = partial.length === 0 ? chunk : Buffer.concat([partial, chunk]);
    let at = 0;
    for (;;) {
      let remaining = 0;
      let header = 1;
      let byte = 0x80;
      for (let shift = 0; byte >= 0x80 && at + header < bytes.length; shift += 7) {
        byte = bytes[at + header++]!;
        remaining |= (byte & 0x7f) << shift;
      }
      const end = at + header + remaining;
      if (byte >= 0x80 || end > bytes.length) break;
      handle(socket, bytes, at, at + header, end);
      at = end;
    }
    partial = bytes.subarray(at);
  });
}

function handle(socket: Socket, bytes: Buffer, start: number, body: number, end: number): void {
  const type = bytes[start]! >> 4;
  if (type === 1) {
    socket.write(Buffer.from([0x20, 2, 0, 0]));
  } else if (type === 8) {
    const topic = bytes.toString("latin1", body + 4, end - 1);
    subscribers.set(topic, [...(subscribers.get(topic) ?? []), socket]);
    socket.write(Buffer.from([0x90, 3, bytes[body]!, bytes[body + 1]!, 0]));
  } else if (type === 3) {
    const topic = bytes.toString("latin1", body + 2, body + 2 + bytes.readUInt16BE(body));
    const frame = bytes.subarray(start, end);
    for (const subscriber of subscribers.get(topic) ?? []) {
      if (pending.size === 0) setImmediate(flush);
      const parts = pending.get(subscriber);
      if (parts === undefined) pending.set(subscriber, [frame]);
      else parts.push(frame);
    }
  }
}

createServer({ noDelay: true }, relay).listen(Number(process.argv[2]), "127.0.0.1", 4096, () =>
  process.stdout.write("relay listening\n"),
);
