/** Reads lines of text from a file or standard input. */
import { createReadStream, statSync } from "node:fs";
import { ConfigError } from "../../../core/mod.ts";
import { oneLine } from "../one-line.ts";

/** A source of lines. */
export interface LineSource {
  /** 0: it is not known. */
  readonly totalBytes: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** `file`: `-` for standard input. Throws ConfigError if it cannot be read. */
export function lineSource(file: string): LineSource {
  if (file === "-") return { totalBytes: 0, chunks: process.stdin };
  try {
    const stats = statSync(file);
    if (stats.isDirectory()) throw new Error("it is a folder");
    // Opened when it is read: the error of a stream that nobody reads would have nobody to handle it.
    const chunks = { [Symbol.asyncIterator]: () => createReadStream(file)[Symbol.asyncIterator]() };
    return { totalBytes: stats.size, chunks };
  } catch (error) {
    throw unreadable(file, error);
  }
}

export function unreadable(file: string, error: unknown): ConfigError {
  return new ConfigError("file", file, `a readable file (${oneLine(error)})`);
}

/** The lines without their ends, as bytes. `handleBytes` is told how much was read. */
export async function* linesOf(
  source: LineSource,
  handleBytes: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  for await (const chunk of source.chunks) {
    handleBytes(chunk.length);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end));
      yield parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      parts = [];
      start = end + 1;
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

const NEWLINE = 0x0a;
