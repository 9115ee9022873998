/**
 * The files that a power cut can leave of a store in a folder, and their reading in processes of their own.
 *
 * The store writes a commit in two steps with a sync between them. First the pages of the transaction, and a meta page that
 * is marked as not synced: until the sync ends, the disk may have any subset of the sectors of these writes. Then,
 * in the second half of page 0, the meta data of what is synced.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Random } from "../support/random.ts";

/** A damaged file: `base`, with ranges of bytes from another file, of noise or of zeros, cut to `length`. */
export interface Damage {
  readonly base: "before" | "after";
  readonly length: number;
  readonly patches: readonly (readonly [
    from: "before" | "after" | "noise" | "zeros",
    start: number,
    end: number,
  ])[];
}

export const SECTOR_BYTES = 512;
export const PAGE_BYTES = 4096;
/** Where the meta data of what is synced is in page 0. */
const SYNCED_START = PAGE_BYTES / 2;

/** The files `before` and `after` the last commit in a folder. */
export class LastCommit {
  readonly before: Buffer;
  readonly after: Buffer;
  /** The sectors that differ, without those of the synced meta data. */
  readonly firstStep: readonly number[];
  readonly secondStep: readonly number[];

  constructor(folder: string) {
    this.before = readFileSync(join(folder, "before"));
    this.after = readFileSync(join(folder, "after"));
    const changed: number[] = [];
    for (let at = 0; at < this.after.length; at += SECTOR_BYTES) {
      const end = at + SECTOR_BYTES;
      if (!this.after.subarray(at, end).equals(this.before.subarray(at, end))) changed.push(at);
    }
    const isSecond = (at: number): boolean => at >= SYNCED_START && at < PAGE_BYTES;
    this.firstStep = changed.filter((at) => !isSecond(at));
    this.secondStep = changed.filter(isSecond);
  }

  /** The pages that the commit changed, without page 0. */
  private get pages(): number[] {
    const pages = this.firstStep.map((at) => Math.floor(at / PAGE_BYTES));
    return [...new Set(pages)].filter((page) => page > 0);
  }

  /** A power cut in the first step: a random subset of its sectors is on the disk, and the file has grown or not. */
  cutInFirstStep(random: Random): Damage {
    const share = random.below(101);
    const written = this.firstStep.filter(() => random.below(100) < share);
    const grownTo = Math.max(this.before.length, ...written.map((at) => at + SECTOR_BYTES));
    const grows = random.below(2) === 0;
    return {
      base: "before",
      length: grows ? Math.max(this.after.length, grownTo) : grownTo,
      patches: written.map((at) => ["after", at, at + SECTOR_BYTES]),
    };
  }

  /** Each page of the commit with zeros, and with what it had before. */
  withoutPages(): Damage[] {
    const { length } = this.after;
    return this.pages.flatMap((page) => {
      const [start, end] = [page * PAGE_BYTES, (page + 1) * PAGE_BYTES];
      const without = (from: "before" | "zeros"): Damage => ({
        ...{ base: "after", length, patches: [[from, start, end]] },
      });
      return end <= this.before.length ? [without("zeros"), without("before")] : [without("zeros")];
    });
  }

  /** Up to three sectors anywhere with noise, zeros or what they had before. */
  withDamage(random: Random): Damage {
    const { length } = this.after;
    const patches = Array.from({ length: 1 + random.below(3) }, () => {
      const start = random.below(length / SECTOR_BYTES) * SECTOR_BYTES;
      return [
        random.pick(["noise", "noise", "zeros", "before"] as const),
        start,
        start + SECTOR_BYTES,
      ] as const;
    });
    return { base: "after", length, patches };
  }

  /** A power cut during the second step: its sectors are on the disk or not. */
  cutInSecondStep(isWritten: boolean): Damage {
    const patches = isWritten
      ? []
      : this.secondStep.map((at) => ["before", at, at + SECTOR_BYTES] as const);
    return { base: "after", length: this.after.length, patches };
  }
}

/** What a process finds in each of the files: a digest of the records, `refused: …`, or the signal that ended the process. */
export async function outcomes(folder: string, damages: readonly Damage[]): Promise<string[]> {
  const found: string[] = [];
  while (found.length < damages.length) {
    const child = spawn(process.execPath, [script, folder], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.on("error", () => {});
    const end = Math.min(damages.length, found.length + FILES_MAX);
    for (let number = found.length; number < end; number++) {
      child.stdin.write(`${JSON.stringify({ number, ...damages[number] })}\n`);
    }
    child.stdin.end();
    const closed = once(child, "close");
    for await (const line of createInterface(child.stdout)) found.push(line);
    const [code, signal] = await closed;
    if (code !== 0) found.push(`crashed: ${signal ?? code}`);
  }
  return found;
}

/** The files of one process, which it keeps until its end. */
const FILES_MAX = 200;
const script = fileURLToPath(new URL("torn-child.mjs", import.meta.url));
