/** What differs between runs: the size of things, and how often what goes wrong. All of it follows from the seed. */
import type { Limits } from "../../core/mod.ts";
import { parseLimits } from "../../core/mod.ts";
import type { Random } from "../support/random.ts";

export interface Scenario {
  readonly clientCount: number;
  readonly limits: Limits;
  /** Of 100 connections, how many ask for a session that is kept. */
  readonly keptPercent: number;
  /** Of 100 messages, how many are retained, and how many expire. */
  readonly retainedPercent: number;
  readonly expiringPercent: number;
  readonly willPercent: number;
  /** A fault of each kind happens about once in so many steps. */
  readonly crashSteps: number;
  readonly cutSteps: number;
  readonly stallSteps: number;
  readonly storeFaultSteps: number;
  /** Of 100 chunks, how many are cut at any byte. */
  readonly splitPercent: number;
  /** Whether the wall clock is set. */
  readonly isClockSet: boolean;
  /** Of 100 opportunities, how many a commit completes at. */
  readonly commitPercent: number;
  readonly usesShared: boolean;
  readonly codec: "ts" | "auto";
  /** Whether the bytes of queued messages may leave memory. */
  readonly answersLoads: boolean;
}

export function scenarioOf(random: Random): Scenario {
  // More receivers than `fanoutSlice` make fan-outs that are delivered in slices.
  const clientCount = random.chance(8) ? 20 : 3 + random.below(6);
  const limits = parseLimits({
    sysMillis: 0,
    fanoutSlice: 16,
    inflightMax: random.pick([1, 2, 3, 5, 20, 20]),
    // With a small budget, queued messages are in the store only.
    queuedBytesInMemoryMax: random.pick([0, 300, 40_000, 134_217_728]),
    journalBacklogMax: random.pick([1, 4, 20, 100_000, 100_000]),
    receiveMax: random.pick([2, 5, 65_535, 65_535]),
    sessionMillisMax: random.pick([5000, 60_000, 3_600_000]),
    stallMillisMax: random.pick([500, 60_000]),
    topicAliasOutMax: random.pick([0, 64]),
    topicTableBytesMax: 65_536,
  });
  return {
    ...{ clientCount, limits },
    keptPercent: random.pick([50, 80, 80, 100]),
    retainedPercent: random.pick([0, 10, 30]),
    expiringPercent: random.pick([0, 0, 20]),
    willPercent: random.pick([0, 30, 60]),
    crashSteps: random.pick([300, 1000, 3000]),
    cutSteps: random.pick([30, 100, 500]),
    stallSteps: random.pick([50, 500, 100_000]),
    storeFaultSteps: random.pick([500, 5000]),
    splitPercent: random.pick([0, 20, 60]),
    isClockSet: random.chance(4),
    commitPercent: random.pick([10, 40, 90]),
    usesShared: random.chance(3),
    codec: random.chance(16) ? "auto" : "ts",
    answersLoads: random.chance(2),
  };
}
