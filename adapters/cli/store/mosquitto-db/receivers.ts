/** The sessions that receive a message, by their subscriptions. */
import { matchesFilter, sharedFilter } from "../../../../core/mod.ts";

export interface Subscription {
  readonly clientId: string;
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: none. */
  readonly identifier: number;
}

export interface Receiver {
  readonly clientId: string;
  qos: number;
  retainAsPublished: boolean;
  readonly identifiers: number[];
  /** The shared subscription as `$share/name/filter`; empty: none. */
  readonly share: string;
}

/** One receiver for each session that matches `topic`, and one for each shared subscription: its first member. */
export function receiversOf(
  subscriptions: readonly Subscription[],
  topic: string,
  publisher: string,
): Iterable<Receiver> {
  const sessions = new Map<string, Receiver>();
  const shared = new Map<string, Receiver>();
  for (const { clientId, filter, qos, noLocal, retainAsPublished, identifier } of subscriptions) {
    const share = sharedFilter(filter);
    const isMatch = matchesFilter(share?.filter ?? filter, topic);
    if (!isMatch || (noLocal && clientId === publisher)) continue;
    const [receivers, key] = share === null ? [sessions, clientId] : [shared, filter];
    const receiver = receivers.get(key);
    if (receiver === undefined) {
      receivers.set(key, {
        ...{ clientId, qos, retainAsPublished, share: share === null ? "" : filter },
        identifiers: identifier === 0 ? [] : [identifier],
      });
    } else if (share === null) {
      receiver.qos = Math.max(receiver.qos, qos);
      receiver.retainAsPublished ||= retainAsPublished;
      if (identifier !== 0) receiver.identifiers.push(identifier);
    }
  }
  return [...sessions.values(), ...shared.values()];
}
