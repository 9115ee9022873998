/** Shared subscriptions, MQTT 5.0 §4.8.2: each message goes to one of the members. */
import { assert } from "../base/assert.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import { Counter } from "../observe/counters.ts";
import type { DeliveryOrigin } from "../session/delivery-queue.ts";
import type { Session } from "../session/session.ts";
import { deliveryOrigin, OPTIONS_NO_LOCAL } from "./route.ts";

/** A share name and filter, as long as it has members. */
export interface Group {
  /**
   * From 1. Reused only after a billion other groups, because messages may refer to a group that
   * has ended.
   */
  readonly number: number;
  /** `$share/name/filter`. */
  readonly text: string;
  /** `text` in UTF-8. */
  readonly share: Uint8Array;
  readonly members: Member[];
  /** The member to start the next choice with, so that members take turns. */
  next: number;
}

export interface Member {
  readonly session: Session;
  readonly options: number;
  readonly origin: DeliveryOrigin;
}

/**
 * The share name and filter of `$share/name/filter`, or null if the text does not have that form
 * [MQTT-4.8.2-1].
 */
export function sharedFilter(
  text: string,
): { readonly name: string; readonly filter: string } | null {
  if (!isShared(text)) return null;
  const end = text.indexOf("/", PREFIX.length);
  const name = end < 0 ? "" : text.slice(PREFIX.length, end);
  const filter = end < 0 ? "" : text.slice(end + 1);
  return name === "" || filter === "" || /[+#]/.test(name) ? null : { name, filter }; // [MQTT-4.8.2-2]
}

/** Whether a filter begins like a shared subscription, well-formed or not. */
export function isShared(text: string): boolean {
  return text.startsWith(PREFIX);
}

export class SharedSubscriptions {
  readonly #counters: Float64Array;
  readonly #byText = new Map<string, Group>();
  readonly #byNumber = new Map<number, Group>();
  #lastNumber = 0;

  constructor(counters: Float64Array) {
    this.#counters = counters;
  }

  /** The group with this number, or null if its last member has left. */
  at(number: number): Group | null {
    return this.#byNumber.get(number) ?? null;
  }

  /** The group with this text, if it has members. */
  find(text: string): Group | undefined {
    return this.#byText.get(text);
  }

  /** Adds a session to a group, or changes its options. */
  join(
    text: string,
    session: Session,
    options: number,
  ): { readonly number: number; readonly isNew: boolean } {
    let group = this.#byText.get(text);
    if (group === undefined) {
      group = { number: this.#newNumber(), text, share: encodeUtf8(text), members: [], next: 0 };
      this.#byText.set(text, group);
      this.#byNumber.set(group.number, group);
      this.#counters[Counter.sharedSubscriptions]!++;
    }
    const member = {
      session,
      options,
      origin: deliveryOrigin([options], group.number, group.share)!,
    };
    const index = group.members.findIndex((known) => known.session === session);
    if (index < 0) {
      group.members.push(member);
      this.#counters[Counter.sharedMembers]!++;
    } else {
      group.members[index] = member;
    }
    return { number: group.number, isNew: index < 0 };
  }

  /** Removes a member. Returns its group, which has ended if it has no members left. */
  leave(text: string, session: Session): Group {
    const group = this.#byText.get(text)!;
    const index = group.members.findIndex((known) => known.session === session);
    assert(index >= 0, "a session leaves a shared subscription that it is a member of");
    group.members.splice(index, 1);
    this.#counters[Counter.sharedMembers]!--;
    if (group.members.length === 0) {
      this.#byText.delete(text);
      this.#byNumber.delete(group.number);
      this.#counters[Counter.sharedSubscriptions]!--;
    }
    return group;
  }

  #newNumber(): number {
    do {
      this.#lastNumber = this.#lastNumber === GROUP_NUMBER_MAX ? 1 : this.#lastNumber + 1;
    } while (this.#byNumber.has(this.#lastNumber));
    return this.#lastNumber;
  }
}

/**
 * Chooses the member for the next message. Connected members come first: of the next few in turn,
 * the one with the largest free window; then one without room. If the message may wait, a
 * disconnected member is the last choice. Null: no member can get it. `isBlocked` tells whether a
 * transport takes no bytes now. The publisher gets nothing if its membership is No Local, as that
 * of a bridge is: otherwise the message would circulate between the brokers for ever.
 */
export function chooseMember(
  group: Group,
  mayQueue: boolean,
  isBlocked: (connSlot: number) => boolean,
  publisher: Session | null,
): Member | null {
  const { members } = group;
  const { length } = members;
  let best: Member | null = null;
  let bestScore = -1;
  let candidateCount = 0;
  for (let i = 0; i < length; i++) {
    const member = members[(group.next + i) % length]!;
    if (member.session === publisher && (member.options & OPTIONS_NO_LOCAL) !== 0) continue;
    const score = scoreOf(member.session, mayQueue, isBlocked);
    if (score > bestScore) {
      best = member;
      bestScore = score;
    }
    if (score >= SCORE_WITH_ROOM && ++candidateCount === CANDIDATES_MAX) break;
  }
  group.next = (group.next + 1) % Math.max(1, length);
  return best;
}

/**
 * Below 0: the session cannot get the message. From `SCORE_WITH_ROOM` on: it can get the message at
 * once; a larger free window scores higher.
 */
function scoreOf(
  session: Session,
  mayQueue: boolean,
  isBlocked: (connSlot: number) => boolean,
): number {
  const { connSlot, outbox } = session;
  if (connSlot === 0) return mayQueue ? 0 : -1;
  if (isBlocked(connSlot)) return 1;
  const free = outbox.queuedCount > 0 ? 0 : outbox.windowFree;
  return free === 0 ? 2 : SCORE_WITH_ROOM + free;
}

/** Below `GROUP_SUBSCRIBER`: a number is reused after a billion groups. */
const GROUP_NUMBER_MAX = 2 ** 30 - 1;
const PREFIX = "$share/";
const SCORE_WITH_ROOM = 3;
/**
 * At most this many members with room are compared, so that a large group costs no more than a
 * small one.
 */
const CANDIDATES_MAX = 8;
