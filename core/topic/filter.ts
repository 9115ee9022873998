/** Topic filters, MQTT 3.1.1 §4.7. */
import { NUMBER_SIGN, PLUS, SLASH } from "../base/characters.ts";
import { isUtf8 } from "../codec/utf8.ts";

/**
 * Whether `bytes[start, end)` is a valid topic filter within the limits: each wildcard fills a
 * level, and `#` is the last level [MQTT311-4.7.1-2] [MQTT311-4.7.1-3] [MQTT311-4.7.3-1].
 */
export function isTopicFilter(
  bytes: Uint8Array,
  start: number,
  end: number,
  bytesMax: number,
  levelsMax: number,
): boolean {
  if (end <= start || end - start > bytesMax) return false;
  let levels = 1;
  for (let i = start; i < end; i++) {
    const byte = bytes[i];
    if (byte === SLASH) levels++;
    if (byte !== PLUS && byte !== NUMBER_SIGN) continue;
    if (i > start && bytes[i - 1] !== SLASH) return false;
    if (i + 1 < end && (byte === NUMBER_SIGN || bytes[i + 1] !== SLASH)) return false;
  }
  return levels <= levelsMax && isUtf8(bytes, start, end);
}

/**
 * Whether a filter matches a topic name; both must be valid. Compares level by level: for callers
 * that need no speed, and as the reference in tests of the fast matchers.
 */
export function matchesFilter(filter: string, name: string): boolean {
  const filterLevels = filter.split("/");
  const nameLevels = name.split("/");
  // A leading wildcard does not match a topic that begins with `$` [MQTT311-4.7.2-1].
  if (name.startsWith("$") && /^[+#]/.test(filter)) return false;
  for (const [index, level] of filterLevels.entries()) {
    if (level === "#") return true;
    if (index >= nameLevels.length) return false;
    if (level !== "+" && level !== nameLevels[index]) return false;
  }
  return filterLevels.length === nameLevels.length;
}
