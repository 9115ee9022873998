/** Topic names, MQTT 3.1.1 §4.7. */
import { DOLLAR, NUMBER_SIGN, PLUS, SLASH } from "../base/characters.ts";
import { isUtf8 } from "../codec/utf8.ts";

/**
 * Whether `bytes[start, end)` is a valid topic name within the limits: not empty, no wildcard, no
 * U+0000, well-formed UTF-8 [MQTT311-3.3.2-2] [MQTT311-4.7.3-1] [MQTT311-4.7.3-2].
 */
export function isTopicName(
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
    if (byte === PLUS || byte === NUMBER_SIGN) return false;
    if (byte === SLASH) levels++;
  }
  return levels <= levelsMax && isUtf8(bytes, start, end);
}

/**
 * Whether only the broker publishes to a topic: `$SYS` and all below it, except the state of
 * bridges.
 */
export function isBrokerTopic(topic: string): boolean {
  return isSysTopic(topic) && !isBridgeState(topic);
}

/** Whether a topic is `$SYS` or below it. */
export function isSysTopic(topic: string): boolean {
  return topic.charCodeAt(0) === DOLLAR && (topic === "$SYS" || topic.startsWith("$SYS/"));
}

/**
 * Whether a topic holds the state of a bridge connection, `1` or `0`. A mosquitto bridge publishes
 * it, retained and as its will, to the broker that it connects to.
 */
export function isBridgeState(topic: string): boolean {
  return BRIDGE_STATE.test(topic);
}

const BRIDGE_STATE = /^\$SYS\/broker\/connection\/[^/]*\/state$/;
