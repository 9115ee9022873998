/**
 * Makes a broker of the records that a store kept.
 *
 * The records come in any order. Those that refer to others wait until all are there. A damaged
 * record, or one whose session or message is missing, is dropped, counted, and removed from the store;
 * nothing throws because of it.
 *
 * A client that was connected when the process ended counts as disconnected now: its session expiry
 * interval and its will delay begin, and a will without a delay is published.
 */
import { assert } from "../base/assert.ts";
import type { Millis } from "../boundary.ts";
import { NEVER, Table } from "../boundary.ts";
import type { Broker } from "../broker.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import { ConfigError } from "../config.ts";
import type { BrokerContext } from "../context.ts";
import type {
  RecordedWillFields,
  RetainedFields,
  SessionFields,
  SubscriptionFields,
} from "../journal/decode-records.ts";
import type { DurableSessionId } from "../journal/record-keys.ts";
import { messageKey, subscriptionKey } from "../journal/record-keys.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { isPaged } from "../message/paged-messages.ts";
import { Added } from "../ports.ts";
import { endSession } from "../publishing/session-end.ts";
import { publishWillOf } from "../publishing/will.ts";
import type { Session, Will } from "../session/session.ts";
import { Subscriptions } from "../session/subscriptions.ts";
import type { DecodedRecord, RecordFault } from "./record-check.ts";
import { decodeRecord, faultOf } from "./record-check.ts";
import { RecoveredMessages } from "./recovered-messages.ts";
import { RecoveredQueues } from "./recovered-queues.ts";

/** What was recovered, and what was dropped as damaged, by table. */
export interface RecoveryCounts {
  readonly recovered: Readonly<Record<Table, number>>;
  readonly dropped: Readonly<Record<Table, number>>;
}

export class Recovery {
  readonly #broker: Broker;
  readonly #recovered = noCounts();
  readonly #dropped = noCounts();
  readonly #queues = new RecoveredQueues();
  readonly #messages: RecoveredMessages;
  readonly #sessions: SessionFields[] = [];
  readonly #byDurableId = new Map<DurableSessionId, Session>();
  readonly #subscriptions: SubscriptionFields[] = [];
  readonly #retained: RetainedFields[] = [];
  readonly #wills: RecordedWillFields[] = [];
  /** Records to remove from the store, because they are damaged or not needed. */
  readonly #damaged: { readonly table: Table; readonly key: Uint8Array }[] = [];
  readonly #context: BrokerContext;
  /** The messages that `wanted` has not named yet; null: it was not called. */
  #wanted: Float64Array | null = null;

  /** `broker` is new: no call was made. Its `config.durable` is true. */
  constructor(broker: Broker) {
    this.#broker = broker;
    this.#context = broker.inspect((context) => context);
    this.#messages = new RecoveredMessages(this.#context);
    assert(this.#context.records !== null, "a broker that recovers has a durable store");
  }

  get counts(): RecoveryCounts {
    return { recovered: this.#recovered, dropped: this.#dropped };
  }

  /**
   * Takes one record. Copies what it needs of key and value. Throws ConfigError for a record of a newer
   * program: the store as a whole is not for this one.
   */
  put(table: Table, key: Uint8Array, value: Uint8Array): void {
    this.#broker.handleRecord(table, key, value);
    const record = decodeRecord(table, key, value);
    if (record === null) this.#drop(table, key);
    else this.#take(record, value);
  }

  /**
   * The numbers of the next messages that have to be in memory and are not, after all records were
   * put; null: none. The caller reads them from the store and passes them to `putWanted`. Without
   * that, the records that refer to them count as damaged.
   */
  wanted(): Float64Array | null {
    const serials = this.#wanted ?? this.#wantedSerials();
    this.#wanted = serials.subarray(WANTED_MAX);
    return serials.length === 0 ? null : serials.slice(0, WANTED_MAX);
  }

  /** Takes the record of a message that `wanted` named. */
  putWanted(number: number, value: Uint8Array): void {
    const key = messageKey(number);
    this.#broker.handleWantedRecord(key, value);
    this.#messages.takeWanted(key, value);
  }

  /** Retained messages and wills stay in memory. */
  #wantedSerials(): Float64Array {
    const serials = [...this.#retained, ...this.#wills].map(({ serial }) => serial);
    return Float64Array.from(serials.filter((serial) => isPaged(this.#messages.find(serial))));
  }

  /**
   * Restores all state into the broker. Throws ConfigError if a limit is too small for it. The
   * first batch of the journal has the changes that the recovery made.
   */
  finish(now: Millis): void {
    this.#broker.restore(now, (context) => {
      context.journal.continueAfter(this.#queues.lastOrder);
      this.#restoreSessions(context);
      this.#restoreSubscriptions(context);
      this.#queues.restore(context, this.#byDurableId, this.#messages, (table, key) =>
        this.#drop(table, key),
      );
      this.#recovered[Table.Queue] = this.#queues.restoredCount;
      this.#restoreRetained(context);
      const due = this.#restoreWills(context, now);
      this.#dropOrphans(context);
      for (const { clientId, will } of due) {
        publishWillOf(context, clientId, will, context.sessions.find(clientId) ?? null);
      }
      this.#endSessions(context, now);
      this.#messages.release();
      for (const { table, key } of this.#damaged) context.records!.removeKey(table, key);
    });
  }

  #take({ table, fields }: DecodedRecord, value: Uint8Array): void {
    switch (table) {
      case Table.Session:
        this.#sessions.push(fields);
        break;
      case Table.Subscription:
        this.#subscriptions.push(fields);
        break;
      case Table.Message:
        this.#messages.take(fields, value);
        break;
      case Table.Queue:
        this.#queues.take(fields, value);
        break;
      case Table.Retained:
        this.#retained.push(fields);
        break;
      case Table.Will:
        this.#wills.push(fields);
        break;
    }
  }

  #restoreSessions({ limits, records, sessions }: BrokerContext): void {
    if (this.#messages.isOutOfMemory) {
      throw new ConfigError(
        "messageBytesMax",
        limits.messageBytesMax,
        "enough for the messages of the store",
      );
    }
    for (const fields of this.#sessions) {
      const { clientId, expiryMillis, durableId } = fields;
      const fault = this.#faultOf({ table: Table.Session, fields }, durableId);
      if (fault !== null || sessions.find(clientId) !== undefined) {
        this.#drop(Table.Session, encodeUtf8(clientId));
        continue;
      }
      const session = sessions.restore(clientId, expiryMillis, durableId);
      if (session === null) {
        throw new ConfigError(
          "sessionsMax",
          limits.sessionsMax,
          `at least ${this.#sessions.length}`,
        );
      }
      records!.keepDurableId(durableId);
      this.#byDurableId.set(durableId, session);
      this.#recovered[Table.Session]++;
    }
  }

  #restoreSubscriptions({ limits, router }: BrokerContext): void {
    for (const fields of this.#subscriptions) {
      const { durableId, filter, options } = fields;
      if (this.#faultOf({ table: Table.Subscription, fields }, durableId) !== null) {
        this.#drop(Table.Subscription, subscriptionKey(durableId, encodeUtf8(filter)));
        continue;
      }
      const session = this.#byDurableId.get(durableId)!;
      if (router.subscribe(filter, session, options) === Added.NoMemory) {
        throw new ConfigError(
          "codecBytesMax",
          limits.codecBytesMax,
          "enough for the subscriptions of the store",
        );
      }
      session.subscriptions ??= new Subscriptions();
      session.subscriptions.set(filter, options);
      this.#recovered[Table.Subscription]++;
    }
  }

  #restoreRetained({ retained, records, epochMillis, now }: BrokerContext): void {
    for (const fields of this.#retained) {
      const { topic, serial, expiresAt } = fields;
      const message = this.#messages.findResident(serial);
      if (this.#faultOf({ table: Table.Retained, fields }, 0, message) !== null) {
        this.#drop(Table.Retained, encodeUtf8(topic));
        continue;
      }
      // Deadlines are not negative: a message that expired before the process began expires now.
      const at = expiresAt === 0 ? NEVER : Math.max(now, expiresAt - epochMillis);
      retained.restore(topic, message, at as Millis);
      records!.references.keep(message);
      records!.references.startRetaining(message);
      this.#recovered[Table.Retained]++;
    }
  }

  /** Restores the delayed wills of sessions; returns the others, which are due now. */
  #restoreWills(context: BrokerContext, now: Millis): readonly DueWill[] {
    const { messages, records, sessions, epochMillis } = context;
    const due: DueWill[] = [];
    for (const fields of this.#wills) {
      const { clientId, serial, delayMillis, expiryMillis, dueAt } = fields;
      const message = this.#messages.findResident(serial);
      if (this.#faultOf({ table: Table.Will, fields }, 0, message) !== null) {
        this.#drop(Table.Will, encodeUtf8(clientId));
        continue;
      }
      messages.retain(message);
      records!.references.keep(message);
      this.#recovered[Table.Will]++;
      const will: Will = { message, delayMillis, expiryMillis };
      const session = sessions.find(clientId);
      if (session === undefined || (dueAt === 0 && delayMillis === 0)) {
        due.push({ clientId, will });
        continue;
      }
      const at = (dueAt === 0 ? now + delayMillis : Math.max(now, dueAt - epochMillis)) as Millis;
      session.will = will;
      sessions.scheduleWill(session, at);
      if (dueAt === 0) records!.putWill(clientId, will, epochMillis + at);
    }
    return due;
  }

  /**
   * Drops the messages that no record refers to. That is no damage: a message of a shared subscription
   * may have been in the queue of a session that ended with its connection, and not been loaded yet.
   */
  #dropOrphans({ records }: BrokerContext): void {
    this.#recovered[Table.Message] = this.#messages.dropOrphans(records!, (serial) =>
      this.#damaged.push({ table: Table.Message, key: messageKey(serial) }),
    );
  }

  /** Starts the expiry of the recovered sessions, and ends those that ended with the process. */
  #endSessions(context: BrokerContext, now: Millis): void {
    const { sessions, epochMillis } = context;
    for (const { durableId, endsAt } of this.#sessions) {
      const session = this.#byDurableId.get(durableId);
      if (session === undefined) continue;
      if (endsAt === 0 && session.expiryMillis === 0) {
        endSession(context, session);
        continue;
      }
      const at = endsAt === 0 ? now + session.expiryMillis : Math.max(now, endsAt - epochMillis);
      sessions.scheduleExpiry(session, at as Millis);
      if (endsAt === 0) session.record!.putSession(epochMillis + at, session.expiryMillis);
    }
  }

  /** `durableId`: the session's number that the record has; 0: none. `message`: the one it refers to; 0: none. */
  #faultOf(
    record: DecodedRecord,
    durableId: DurableSessionId,
    message: MessageSlot = 0,
  ): RecordFault | null {
    return faultOf(record, this.#byDurableId.get(durableId)?.clientId, message !== 0);
  }

  #drop(table: Table, key: Uint8Array): void {
    this.#dropped[table] = (this.#dropped[table] ?? 0) + 1;
    this.#damaged.push({ table, key: new Uint8Array(key) });
  }
}

interface DueWill {
  readonly clientId: string;
  readonly will: Will;
}

function noCounts(): Record<Table, number> {
  return { 0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0 };
}

/** Maximum messages that `wanted` names at once. */
const WANTED_MAX = 1024;
