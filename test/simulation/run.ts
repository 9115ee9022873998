/** A run from a seed: so many steps, then all faults end, and everything that is owed must arrive (settle.ts). */
import { NO_FAULT, type PlantedFault } from "./planted-faults.ts";
import { settle } from "./settle.ts";
import { Simulation } from "./simulation.ts";
import { Trace } from "./trace.ts";

export interface RunOptions {
  readonly seed: number;
  readonly steps: number;
  readonly fault?: PlantedFault;
  /** Whether the trace has text. */
  readonly keepsText?: boolean;
}

export interface RunResult {
  readonly steps: number;
  readonly hash: string;
  /** Messages that clients published, and that they took. */
  readonly published: number;
  readonly taken: number;
  readonly crashes: number;
  /** What the broker did wrong, or an error of its own; null: nothing. */
  readonly error: Error | null;
  readonly trace: Trace;
}

export function run(options: RunOptions): RunResult {
  const trace = new Trace(options.keepsText ?? false);
  const simulation = new Simulation(options.seed, options.fault ?? NO_FAULT, trace);
  let error: Error | null = null;
  try {
    simulation.run(options.steps);
    settle(simulation);
  } catch (thrown) {
    error = thrown as Error;
  }
  const { published, taken } = simulation;
  const crashes = simulation.world.crashCount;
  return { steps: trace.step, hash: trace.hash, published, taken, crashes, error, trace };
}
