/**
 * The receivers of a topic, computed from the matches of the topic index: one row per session,
 * however many of its subscriptions match, and one per shared subscription.
 */
import { grownU32 } from "../base/columns.ts";
import { Property } from "../codec/properties.ts";
import { encodeNumber, joined } from "../codec/property-values.ts";
import type { DeliveryOrigin } from "../session/delivery-queue.ts";

/**
 * Options of a subscription, in one word: bits 0–1 the granted QoS, bit 2 No Local, bit 3 Retain As
 * Published, the 28 bits above them the Subscription Identifier, 0 for none.
 */
export const OPTIONS_QOS = 0b0011;
export const OPTIONS_NO_LOCAL = 0b0100;
export const OPTIONS_RETAIN_AS_PUBLISHED = 0b1000;
const OPTIONS_FLAGS = 0b1111;
const OPTIONS_ID_SHIFT = 4;

/**
 * Subscriber numbers with this bit are shared subscriptions; the bits below are the group number.
 */
export const GROUP_SUBSCRIBER = 0x4000_0000;
/**
 * Subscriber numbers with this bit, and not that of shared subscriptions, are sessions that receive
 * their own messages through this row; the bits below are the session slot.
 */
export const OWN_SUBSCRIBER = 0x2000_0000;

export function subscriptionOptions(flags: number, subscriptionId: number): number {
  return ((subscriptionId << OPTIONS_ID_SHIFT) | (flags & OPTIONS_FLAGS)) >>> 0;
}

/** The Subscription Identifier in the options; 0: none. */
export function identifierOf(options: number): number {
  return options >>> OPTIONS_ID_SHIFT;
}

/**
 * Rows of two: subscriber, options. A plain array: each topic has one, and a typed array takes
 * twice the memory and several times as long to create. No Local in a row means that at least one
 * subscription has it: the session does not receive its own messages through this row. If other
 * subscriptions of it match, it has a row of `OWN_SUBSCRIBER` too.
 */
export type Route = readonly number[];
/** The delivery origin for each row of a route; null if no row has one, which is usual. */
export type RouteOrigins = readonly (DeliveryOrigin | null)[] | null;

/**
 * The delivery origin of a message that matches subscriptions with these options, or null. `share` is
 * the text of shared subscription `group`.
 */
export function deliveryOrigin(
  options: readonly number[],
  group = 0,
  share: Uint8Array = NO_SHARE,
): DeliveryOrigin | null {
  const ids = options.map((word) => word >>> OPTIONS_ID_SHIFT).filter((id) => id !== 0);
  if (ids.length === 0 && group === 0) return null;
  const properties = ids.map((id) => encodeNumber(Property.SubscriptionIdentifier, id));
  return { properties: joined(properties), group, share };
}

/**
 * Merges several subscriptions of one session: the largest QoS [MQTT311-3.3.5-1] [MQTT-3.3.4-2].
 */
export function mergedOptions(a: number, b: number): number {
  const qos = Math.max(a & OPTIONS_QOS, b & OPTIONS_QOS);
  const flags = (a | b) & (OPTIONS_NO_LOCAL | OPTIONS_RETAIN_AS_PUBLISHED);
  return (((a >>> OPTIONS_ID_SHIFT) << OPTIONS_ID_SHIFT) | flags | qos) >>> 0;
}

/**
 * Computes routes. Keeps its tables between calls, because every change of a subscription leads to
 * new routes.
 */
export class RouteMaker {
  /** The origins of the last route. */
  origins: RouteOrigins = null;
  /** The row of each session in the current route, plus one. */
  #rowOf: Uint32Array = new Uint32Array(64);

  /** Computes the route for the first `count` rows of `matches`, which it rearranges. */
  make(matches: Uint32Array, count: number): Route {
    this.origins = null;
    if (count === 0) return NO_RECEIVERS;
    let length = 0;
    let groups: number[] | null = null;
    /** Options of each subscription with an identifier, by row. */
    let identified: Map<number, number[]> | null = null;
    /**
     * Options of the subscriptions without No Local, by row, for sessions that also have
     * subscriptions with it.
     */
    let own: Map<number, number[]> | null = null;
    for (let i = 0; i < count * 2; i += 2) {
      const subscriber = matches[i]!;
      const options = matches[i + 1]!;
      if (subscriber >= GROUP_SUBSCRIBER) {
        groups ??= [];
        groups.push(subscriber, options);
        continue;
      }
      this.#rowOf = grownU32(this.#rowOf, subscriber);
      const row = this.#rowOf[subscriber]!;
      const at = row === 0 ? length : row - 1;
      const before = row === 0 ? 0 : matches[at + 1]!;
      if (row !== 0 && ((before | options) & OPTIONS_NO_LOCAL) !== 0) {
        own ??= new Map();
        let known = own.get(at);
        if (known === undefined) {
          // Either none of the earlier subscriptions of the session had No Local, or there was only
          // one.
          const hadNone = (before & OPTIONS_NO_LOCAL) === 0;
          known = hadNone ? [before & OPTIONS_FLAGS, ...(identified?.get(at) ?? [])] : [];
          own.set(at, known);
        }
        if ((options & OPTIONS_NO_LOCAL) === 0) known.push(options);
      }
      if (options >>> OPTIONS_ID_SHIFT !== 0) {
        identified ??= new Map();
        const known = identified.get(at);
        if (known === undefined) identified.set(at, [options]);
        else known.push(options);
      }
      if (row === 0) {
        matches[length] = subscriber;
        matches[length + 1] = options;
        this.#rowOf[subscriber] = length + 1;
        length += 2;
      } else {
        matches[at + 1] = mergedOptions(before, options);
      }
    }
    for (let i = 0; i < length; i += 2) this.#rowOf[matches[i]!] = 0;
    const rows: number[] = [];
    for (let i = 0; i < length; i++) rows.push(matches[i]!);
    for (const [at, options] of own ?? []) {
      if (options.length === 0) continue;
      if (identified !== null) identified.set(rows.length, options);
      rows.push(OWN_SUBSCRIBER | matches[at]!, options.reduce(mergedOptions));
    }
    if (groups !== null) for (const word of groups) rows.push(word);
    if (identified === null) return rows;
    const origins = new Array<DeliveryOrigin | null>(rows.length / 2).fill(null);
    for (const [at, options] of identified) origins[at / 2] = deliveryOrigin(options);
    this.origins = origins;
    return rows;
  }
}

const NO_RECEIVERS: Route = [];
const NO_SHARE: Uint8Array = new Uint8Array(0);
