/**
 * Queue records on their way to the sessions. They wait in columns of numbers until the sessions and
 * messages that they name are there.
 */
import { ownBytes } from "../base/bytes.ts";
import { grownF64, grownU32 } from "../base/columns.ts";
import { Table } from "../boundary.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import type { BrokerContext } from "../context.ts";
import type { QueueFields } from "../journal/decode-records.ts";
import type { DurableSessionId } from "../journal/record-keys.ts";
import {
  isMessageKind,
  POSITION_FIRST,
  POSITION_MAX,
  QueueRecordKind,
  queueKey,
} from "../journal/record-keys.ts";
import { isPaged } from "../message/paged-messages.ts";
import type { DeliveryOrigin } from "../session/delivery-queue.ts";
import type { Session } from "../session/session.ts";
import { queueFaultOf } from "./record-check.ts";
import type { RecoveredMessages } from "./recovered-messages.ts";

/** The shared subscription and Subscription Identifiers of an entry. Few entries have any. */
interface EntryOrigin {
  readonly share: string;
  readonly properties: Uint8Array;
}

export class RecoveredQueues {
  #durableIds: Uint32Array = new Uint32Array(64);
  /** `n` for Queued, the packet identifier for the others. */
  #numbers: Uint32Array = new Uint32Array(64);
  /** Kind in the low byte, delivery above it. */
  #kinds: Uint32Array = new Uint32Array(64);
  #orders: Float64Array = new Float64Array(64);
  #serials: Float64Array = new Float64Array(64);
  readonly #origins = new Map<number, EntryOrigin>();
  #count = 0;
  /** The largest order of all records; 0: none. */
  lastOrder = 0;
  restoredCount = 0;
  /** The origin of the last entry that had one: entries in a row mostly share it. */
  #lastEntryOrigin: EntryOrigin | null = null;
  #lastOrigin: DeliveryOrigin | null = null;

  /** Takes a record. Keeps no reference to `value`. */
  take(fields: QueueFields, value: Uint8Array): void {
    const at = this.#count++;
    this.#durableIds = grownU32(this.#durableIds, at);
    this.#numbers = grownU32(this.#numbers, at);
    this.#kinds = grownU32(this.#kinds, at);
    this.#orders = grownF64(this.#orders, at);
    this.#serials = grownF64(this.#serials, at);
    this.#durableIds[at] = fields.durableId;
    this.#numbers[at] = fields.n;
    this.#kinds[at] = fields.kind | (fields.delivery << 8);
    this.#orders[at] = fields.order;
    this.#serials[at] = fields.serial;
    this.lastOrder = Math.max(this.lastOrder, fields.order);
    const { share, propertyStart } = fields;
    if (share !== "" || propertyStart < value.length) {
      this.#origins.set(at, { share, properties: ownBytes(value, propertyStart) });
    }
  }

  /** Puts the entries into their sessions in order. `drop` gets those that are damaged. */
  restore(
    context: BrokerContext,
    sessions: ReadonlyMap<DurableSessionId, Session>,
    messages: RecoveredMessages,
    drop: (table: Table, key: Uint8Array) => void,
  ): void {
    /** The number that the next queued entry of the current session must have; -1: any. */
    let next = -1;
    let current = 0;
    for (const at of this.#inOrder()) {
      const durableId = this.#durableIds[at]!;
      const n = this.#numbers[at]!;
      const kind = (this.#kinds[at]! & 0xff) as QueueRecordKind;
      const session = sessions.get(durableId);
      const message = messages.find(this.#serials[at]!);
      const fault = queueFaultOf(kind, session?.clientId, message !== 0);
      if (session === undefined || fault !== null) {
        drop(Table.Queue, queueKey(durableId, kind, n));
        continue;
      }
      this.restoredCount++;
      if (durableId !== current) next = -1;
      current = durableId;
      if (!isMessageKind(kind)) {
        if (kind === QueueRecordKind.Receipt) {
          session.restoreReceipt(n);
        } else {
          session.outbox.openWindow().restoreReleased(n);
          session.outbox.continueIdsAfter(n);
        }
        continue;
      }
      const { records } = context;
      const delivery = this.#kinds[at]! >>> 8;
      const origin = this.#originOf(context, at);
      records!.references.keep(message);
      if (kind === QueueRecordKind.Sent) {
        if (!isPaged(message)) context.messages.retain(message);
        session.outbox.openWindow().push(n, message, delivery, origin);
        session.outbox.continueIdsAfter(n);
        continue;
      }
      // A queue near the largest number begins anew, so that the numbers do not wrap.
      if (next < 0) next = n > POSITION_MAX ? POSITION_FIRST : n;
      const isGap = n !== next;
      const number = next;
      session.outbox.restoreQueued(number, message, delivery, origin);
      // Numbers are consecutive: an entry behind a gap moves up, in the store too.
      if (isGap) session.record!.moveQueued(n, number, message, delivery, origin);
      next = number + 1;
    }
  }

  /** Positions by session, then queued entries by number, then the others by order. */
  #inOrder(): Iterable<number> {
    const ids = this.#durableIds;
    const wrapped = this.#wrappedSessions();
    const key = (at: number): number => {
      if (!this.#isQueued(at)) return this.#orders[at]!;
      const n = this.#numbers[at]!;
      const isBehindEnd = wrapped.size > 0 && n < WRAPPED_MAX && wrapped.has(ids[at]!);
      return isBehindEnd ? n + POSITION_COUNT : n;
    };
    const compare = (a: number, b: number): number =>
      ids[a]! - ids[b]! || (this.#kinds[a]! & 0xff) - (this.#kinds[b]! & 0xff) || key(a) - key(b);
    const positions = Uint32Array.from({ length: this.#count }, (_, at) => at);
    // A store in key order gives most records in this order already.
    for (let at = 1; at < this.#count; at++) {
      if (compare(at - 1, at) > 0) return positions.sort(compare);
    }
    return positions;
  }

  /**
   * The sessions whose queues go on at 0 behind the last position. A queue is never so long that it has
   * entries near both ends for another reason.
   */
  #wrappedSessions(): ReadonlySet<DurableSessionId> {
    const behindMax = new Set<DurableSessionId>();
    const wrapped = new Set<DurableSessionId>();
    for (let at = 0; at < this.#count; at++) {
      if (this.#numbers[at]! > POSITION_MAX && this.#isQueued(at)) {
        behindMax.add(this.#durableIds[at]!);
      }
    }
    // In most stores no queue has come so far.
    if (behindMax.size === 0) return wrapped;
    for (let at = 0; at < this.#count; at++) {
      if (this.#numbers[at]! >= WRAPPED_MAX || !this.#isQueued(at)) continue;
      if (behindMax.has(this.#durableIds[at]!)) wrapped.add(this.#durableIds[at]!);
    }
    return wrapped;
  }

  #isQueued(at: number): boolean {
    return (this.#kinds[at]! & 0xff) === QueueRecordKind.Queued;
  }

  #originOf({ router }: BrokerContext, at: number): DeliveryOrigin | null {
    const entry = this.#origins.get(at) ?? null;
    if (entry === null) return null;
    const last = this.#lastEntryOrigin;
    if (last !== null && last.share === entry.share && isEqual(last.properties, entry.properties)) {
      return this.#lastOrigin;
    }
    const group = entry.share === "" ? 0 : router.groupNumber(entry.share);
    this.#lastEntryOrigin = entry;
    this.#lastOrigin = { properties: entry.properties, group, share: encodeUtf8(entry.share) };
    return this.#lastOrigin;
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The positions of queued entries are u32. */
const POSITION_COUNT = 2 ** 32;
/** Beside entries behind `POSITION_MAX`, entries before this number are behind position 2^32 - 1. */
const WRAPPED_MAX = 0x4000_0000;
