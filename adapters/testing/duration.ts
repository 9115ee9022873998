/** Durations as people write them: `"90s"`, `"1h30m"`, or milliseconds. */
import { ConfigError } from "../../core/mod.ts";

/** `"500ms"`, `"90s"`, `"5m"`, `"2h"`, `"1d"`, several of them in a row, or a number of milliseconds. */
export type Duration = number | string;

/** The duration in whole milliseconds. Throws ConfigError if it is not a duration. */
export function durationMillis(duration: Duration): number {
  const millis = typeof duration === "string" ? parsed(duration) : duration;
  if (Number.isFinite(millis) && millis >= 0) return Math.round(millis);
  throw new ConfigError(
    "duration",
    duration,
    'a duration such as "500ms", "90s", "5m", "2h", "1d", or 1500',
  );
}

function parsed(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d)\s*)+$/.test(text)) return Number.NaN;
  let millis = 0;
  for (const [, count, unit] of text.matchAll(/([\d.]+)(ms|s|m|h|d)/g)) {
    millis += Number(count) * units[unit!]!;
  }
  return millis;
}

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
