/** The values in lines of an import that JSON has no type for: times, durations and bytes. */
import { ConfigError } from "../../../core/mod.ts";
import { millisOfIsoTime } from "../../captured.ts";
import { NEVER_TEXT } from "./export-lines.ts";

type Line = Readonly<Record<string, unknown>>;

/** Unix time in milliseconds; 0: the line has no such time. */
export function timeAt(line: Line, field: string): number {
  const { [field]: value = null } = line;
  if (value === null) return 0;
  if (value === NEVER_TEXT) return Number.POSITIVE_INFINITY;
  const millis = typeof value === "string" ? millisOfIsoTime(value) : Number.NaN;
  if (millis > 0) return millis;
  throw new ConfigError(field, value, 'a time such as "2026-01-31T12:00:00.000Z"');
}

/** A duration in milliseconds. */
export function millisAt(line: Line, field: string): number {
  const { [field]: value } = line;
  if (value === NEVER_TEXT) return Number.POSITIVE_INFINITY;
  if (typeof value === "number" && value >= 0 && value <= 0xffff_ffff) {
    return Math.round(value * 1000);
  }
  throw new ConfigError(field, value, `a number of seconds, or "${NEVER_TEXT}"`);
}

/** Bytes that are written in base64. */
export function base64At(line: Line, field: string, prefix = ""): Uint8Array {
  const { [field]: value } = line;
  if (typeof value === "string") {
    const bytes = Buffer.from(value, "base64");
    // Node ignores characters that are not base64.
    if (bytes.toString("base64") === value) return bytes;
  }
  throw new ConfigError(`${prefix}${field}`, value, "base64");
}
