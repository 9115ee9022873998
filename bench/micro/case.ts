/** A case to measure. */
export interface MicroCase {
  readonly name: string;
  readonly impl: string;
  readonly params: Readonly<Record<string, string | number>>;
  /** Operations per run. */
  readonly ops: number;
  /** Prepares the case and returns its run; the run returns a sum that depends on its work. */
  prepare(): () => number;
}
