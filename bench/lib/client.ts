/**
 * The cheapest possible client: a socket that writes prepared bytes and reads into a shared buffer.
 */
import { connect as connectSocket, type Socket } from "node:net";

/** One buffer for all sockets: bytes are used before the next read. */
const shared = Buffer.allocUnsafeSlow(262_144);

/** Opens a socket; `onBytes` gets the shared buffer and the number of bytes in it. */
export function open(
  port: number,
  onBytes: (bytes: Uint8Array, count: number) => void,
  onError: (error: Error) => void = giveUp,
): Socket {
  const socket = connectSocket({
    host: "127.0.0.1",
    port,
    noDelay: true,
    onread: {
      buffer: shared,
      callback: (count: number, bytes: Uint8Array) => {
        onBytes(bytes, count);
        return true;
      },
    },
  });
  socket.on("error", onError);
  return socket;
}

function giveUp(error: Error): void {
  process.stderr.write(`load: ${error.message}\n`);
  process.exit(1);
}

export function connectPacket(clientId: string, isClean = true): Buffer {
  const id = Buffer.from(clientId);
  const head = Buffer.from("00044d51545404020000", "hex");
  if (!isClean) head[7] = 0;
  const body = Buffer.concat([head, u16(id.length), id]);
  return Buffer.concat([Buffer.from([0x10]), length(body.length), body]);
}

export function subscribePacket(filter: string, qos: number): Buffer {
  const text = Buffer.from(filter);
  const body = Buffer.concat([u16(1), u16(text.length), text, Buffer.from([qos])]);
  return Buffer.concat([Buffer.from([0x82]), length(body.length), body]);
}

export function unsubscribePacket(filter: string): Buffer {
  const text = Buffer.from(filter);
  const body = Buffer.concat([u16(1), u16(text.length), text]);
  return Buffer.concat([Buffer.from([0xa2]), length(body.length), body]);
}

export function publishPacket(topic: string, payload: Uint8Array, qos: number, id: number): Buffer {
  const text = Buffer.from(topic);
  const body = Buffer.concat([
    u16(text.length),
    text,
    qos > 0 ? u16(id) : Buffer.alloc(0),
    payload,
  ]);
  return Buffer.concat([Buffer.from([0x30 | (qos << 1)]), length(body.length), body]);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function length(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** Connects, and subscribes if a filter is given; resolves when both are acknowledged. */
export function ready(
  port: number,
  clientId: string,
  filter: string | null,
  qos: number,
  onBytes: (bytes: Uint8Array, count: number) => void,
  isClean = true,
): Promise<Socket> {
  return new Promise((resolve) => {
    // CONNACK has four bytes, SUBACK five.
    let awaited = filter === null ? 4 : 9;
    const socket = open(port, (bytes, count) => {
      if (awaited === 0) {
        onBytes(bytes, count);
        return;
      }
      awaited -= count;
      // More bytes in the same read come from an existing session.
      if (awaited <= 0) {
        awaited = 0;
        resolve(socket);
      }
    });
    socket.write(connectPacket(clientId, isClean));
    if (filter !== null) socket.write(subscribePacket(filter, qos));
  });
}
