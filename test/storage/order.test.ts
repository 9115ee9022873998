// The order of the command's system calls: no PUBACK or PUBREC leaves before a sync that began after
// the batch of its message was written has ended.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { needs } from "../support/needs.ts";
import { concat, connect, disconnect, publish, pubrel, subscribe } from "../support/packets.ts";
import { command, run } from "../support/process.ts";
import { openSocket } from "../support/socket-client.ts";

const ROUNDS = 20;
const traced = { ...needs("strace"), timeout: 60_000 };

test(
  "reads a message, writes its batch, syncs it, and acknowledges it, in this order",
  traced,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "sansmq-order-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const trace = join(folder, "trace");
    const calls = "read,write,writev,sendto,sendmsg,fdatasync,fsync,msync,pwrite64,pwritev";
    const broker = run(
      "strace",
      ...["-f", "-xx", "-s", "64", "-e", `trace=${calls}`, "-o", trace],
      ...[process.execPath, command, "--port", "0", "--no-ws", "--store", join(folder, "store")],
    );
    const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+).*\n/);
    const reader = await openSocket(tcp!);
    const kept = connect({ clientId: "reader", clean: false });
    reader.send(concat(kept, subscribe(1, ["t", 2]), disconnect));
    await reader.takes(2);
    const writer = await openSocket(tcp!);
    writer.send(connect({ clientId: "writer" }));
    await writer.takes(1);
    for (let id = 1; id <= ROUNDS; id++) {
      const qos = qosOf(id);
      writer.send(publish("t", payloadOf(id), { qos, id }));
      expect(await writer.takes(1)).toEqual([qos === 1 ? `PUBACK #${id}` : `PUBREC #${id}`]);
      if (qos === 1) continue;
      writer.send(pubrel(id));
      await writer.takes(1);
    }
    // strace ends with the process that it traces.
    const { pid } = broker.child;
    process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")), "SIGTERM");
    await broker.finished;

    const lines = readFileSync(trace, "utf8").split("\n");
    const find = (from: number, pattern: RegExp): number =>
      lines.findIndex((line, at) => at > from && pattern.test(line));
    let at = 0;
    for (let id = 1; id <= ROUNDS; id++) {
      const read = find(
        at,
        new RegExp(`read(\\(|.*resumed).*${inTrace(Buffer.from(payloadOf(id)))}`),
      );
      const written = find(read, /pwrite(64|v)\(/);
      const synced = endOfCall(lines, find(written, /(fdatasync|fsync|msync)\(/));
      const reply = inTrace(Uint8Array.of(qosOf(id) === 1 ? 0x40 : 0x50, 2, 0, id));
      const sent = find(read, new RegExp(`(write|writev|sendto|sendmsg)\\(.*${reply}`));
      const isOrdered = at < read && read < written && written < synced && synced < sent;
      expect({ id, read, written, synced, sent, isOrdered }).toMatchObject({ isOrdered: true });
      at = sent;
    }
  },
);

const qosOf = (id: number): 1 | 2 => (id % 2 === 0 ? 1 : 2);
const payloadOf = (id: number): string => `order-${id}-`;

/** Bytes as strace prints them, for a regular expression. */
function inTrace(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

/** The line in which a call of strace's ends; -1: it never does. */
function endOfCall(lines: readonly string[], start: number): number {
  const [, thread] = /^(\d+) /.exec(lines[start] ?? "") ?? [];
  if (thread === undefined || !lines[start]!.includes("unfinished")) return start;
  return lines.findIndex(
    (line, at) => at > start && line.startsWith(`${thread} `) && line.includes("resumed"),
  );
}
