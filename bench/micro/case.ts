/** One thing to measure. */
export interface MicroCase {
  readonly name: string;
  readonly impl: string;
  readonly params: Readonly<Record<string, string | number>>;
  /** Operations that one run does. */
  readonly ops: number;
  /** Makes what the run needs, and returns the run; what it computes is its sum. */
  prepare(): () => number;
}
