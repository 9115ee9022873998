/**
 * The floor under a durable acknowledgement on this machine: appends each PUBLISH that it reads to
 * a file, syncs the file, and answers PUBACK. It knows no more of the
 * protocol than the load needs, and delivers nothing.
 */
import { fdatasyncSync, openSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const SUBACK = Buffer.from([0x90, 3, 0, 1, 1]);
const CONNECT = 1;
const PUBLISH = 3;
const file = openSync(join(process.argv[3]!, "log"), "w");
// Room is reserved first, so that a sync need not grow the file as well.
const page = Buffer.alloc(4096);
for (let n = 0; n < 4096; n++) writeSync(file, page);
fdatasyncSync(file);
let at = 0;

createServer({ noDelay: true }, (socket) => {
  socket.on("data", (packet: Buffer) => {
    const type = packet[0]! >> 4;
    if (type !== PUBLISH) {
      if (type === CONNECT) socket.write(CONNACK);
      if (type !== CONNECT || packet.length > packet[1]! + 2) socket.write(SUBACK);
      return;
    }
    writeSync(file, packet, 0, packet.length, at % (4096 * 4096 - packet.length));
    at += packet.length;
    fdatasyncSync(file);
    const idAt = 4 + packet[3]!;
    socket.write(Buffer.from([0x40, 2, packet[idAt]!, packet[idAt + 1]!]));
  });
  socket.on("error", () => {});
}).listen(Number(process.argv[2]), "127.0.0.1", () =>
  process.stdout.write("bare-sync listening\n"),
);
