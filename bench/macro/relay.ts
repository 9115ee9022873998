/**
 * The bare relay: the speed that a runtime reaches on its own sockets. It parses just enough of
 * MQTT to forward a PUBLISH at QoS 0, checks nothing, stores nothing, and writes once a turn to
 * each subscriber.
 */
import { createServer } from "node:net";

/** A destination for frames. */
interface Sink {
  write(bytes: Uint8Array): void;
}

const subscribers = new Map<string, Sink[]>();
const pending = new Map<Sink, Uint8Array[]>();

function flush(): void {
  for (const [sink, parts] of pending) sink.write(Buffer.concat(parts));
  pending.clear();
}

/** Handles the bytes of one transport, which may be lent until the call returns. */
function receiver(sink: Sink, isLent: boolean): (chunk: Buffer) => void {
  let partial: Buffer = Buffer.alloc(0);
  return (chunk) => {
    const own = isLent ? Buffer.from(chunk) : chunk;
    const bytes = partial.length === 0 ? own : Buffer.concat([partial, own]);
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
      handle(sink, bytes, at, at + header, end);
      at = end;
    }
    partial = bytes.subarray(at);
  };
}

function handle(sink: Sink, bytes: Buffer, start: number, body: number, end: number): void {
  const type = bytes[start]! >> 4;
  if (type === 1) {
    sink.write(Buffer.from([0x20, 2, 0, 0]));
  } else if (type === 8) {
    const topic = bytes.toString("latin1", body + 4, end - 1);
    subscribers.set(topic, [...(subscribers.get(topic) ?? []), sink]);
    sink.write(Buffer.from([0x90, 3, bytes[body]!, bytes[body + 1]!, 0]));
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

function serveOnNode(port: number): void {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", receiver(socket, false));
  });
  server.listen(port, "127.0.0.1", 4096, listening);
}

/** A write takes as many bytes as it can; the rest waits for `drain`. */
function serveOnBun(port: number, bun: BunListen): void {
  interface Peer {
    readonly receive: (chunk: Buffer) => void;
    readonly drain: () => void;
  }
  bun.listen<Peer>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => {
        socket.setNoDelay(true);
        let rest: Uint8Array[] = [];
        const write = (bytes: Uint8Array): void => {
          const taken = rest.length > 0 ? 0 : Math.max(0, socket.write(bytes));
          if (taken < bytes.length) rest.push(bytes.subarray(taken));
        };
        const drain = (): void => {
          const waiting = rest;
          rest = [];
          for (const bytes of waiting) write(bytes);
        };
        socket.data = { receive: receiver({ write }, true), drain };
      },
      data: (socket, chunk) => socket.data.receive(chunk),
      drain: (socket) => socket.data.drain(),
    },
  });
  listening();
}

/** A write is a promise, so writes are chained. */
async function serveOnDeno(port: number, deno: DenoListen): Promise<void> {
  const listener = deno.listen({ hostname: "127.0.0.1", port });
  listening();
  for (;;) void converse(await listener.accept());
}

async function converse(conn: DenoConn): Promise<void> {
  conn.setNoDelay(true);
  let written = Promise.resolve();
  const writeAll = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; ) at += await conn.write(bytes.subarray(at));
  };
  const write = (bytes: Uint8Array): void => {
    written = written.then(() => writeAll(bytes));
    written.catch(() => {});
  };
  const receive = receiver({ write }, true);
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    const count = await conn.read(buffer).catch(() => null);
    if (count === null) return;
    receive(buffer.subarray(0, count));
  }
}

interface BunListen {
  listen<Data>(options: {
    hostname: string;
    port: number;
    socket: {
      open(socket: BunSocket<Data>): void;
      data(socket: BunSocket<Data>, chunk: Buffer): void;
      drain(socket: BunSocket<Data>): void;
    };
  }): void;
}
interface BunSocket<Data> {
  data: Data;
  write(bytes: Uint8Array): number;
  setNoDelay(isOn: boolean): void;
}
interface DenoListen {
  listen(options: { hostname: string; port: number }): { accept(): Promise<DenoConn> };
}
interface DenoConn {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  setNoDelay(isOn: boolean): void;
}

function listening(): void {
  process.stdout.write("relay listening\n");
}

const port = Number(process.argv[2]);
const { Bun: bun, Deno: deno } = globalThis as {
  readonly Bun?: BunListen;
  readonly Deno?: DenoListen;
};
if (bun !== undefined) serveOnBun(port, bun);
else if (deno !== undefined) void serveOnDeno(port, deno);
else serveOnNode(port);
