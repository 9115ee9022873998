/** What happened in a run: always as a hash, and on demand as the last lines of text. */
import { topicNames } from "./topics.ts";
import type { Packet } from "./wire.ts";
import { Type } from "./wire.ts";

export class Trace {
  #hash = 0x811c9dc5;
  /** Null: no text is kept. */
  readonly lines: string[] | null;
  step = 0;

  constructor(keepsText: boolean) {
    this.lines = keepsText ? [] : null;
  }

  /** Adds two numbers to the hash. */
  add(a: number, b: number): void {
    this.#hash = Math.imul(this.#hash ^ a, 0x01000193);
    this.#hash = Math.imul(this.#hash ^ b ^ (this.#hash >>> 15), 0x01000193);
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** A function, where making the line would cost time in every run. */
  log(line: string | (() => string)): void {
    if (this.lines === null) return;
    this.lines.push(`${this.step} ${typeof line === "string" ? line : line()}`);
  }

  packet(client: number, packet: Packet): void {
    if (this.lines === null) return;
    const { type, id, qos, isDup, isRetained, message, topic } = packet;
    const name = typeNames.get(type) ?? `${type}`;
    const words = [`to client ${client}: ${name}`];
    if (type === Type.Publish) words.push(`${topicNames[topic]} message ${message} q${qos}`);
    if (id !== 0) words.push(`#${id}`);
    if (isDup) words.push("dup");
    if (isRetained) words.push("retain");
    this.log(words.join(" "));
  }
}

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(Type).map(([name, type]) => [type, name.toUpperCase()]),
);
