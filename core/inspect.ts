/** The state of a broker as plain data, to find faults. Reading it changes nothing. */
import type { ConnId, Millis, ProtocolLevel, QoS, Seq } from "./boundary.ts";
import type { Broker } from "./broker.ts";
import type { Connection } from "./connection/connection.ts";
import { Parked, Stage } from "./connection/connection.ts";
import type { BrokerContext } from "./context.ts";
import type { CounterName } from "./observe/counters.ts";
import { Counter, counterNames } from "./observe/counters.ts";
import {
  identifierOf,
  OPTIONS_NO_LOCAL,
  OPTIONS_QOS,
  OPTIONS_RETAIN_AS_PUBLISHED,
} from "./routing/route.ts";
import type { Session } from "./session/session.ts";

/** Serializable as JSON. Contains no payload, password or authentication data. */
export interface BrokerState {
  readonly now: Millis;
  readonly isShuttingDown: boolean;
  readonly connections: readonly ConnectionState[];
  readonly sessions: readonly SessionState[];
  readonly subscriptionCount: number;
  readonly hasFanouts: boolean;
  readonly effectCount: number;
  readonly journal: {
    readonly lastSeq: Seq;
    readonly committed: Seq;
    /** The store has failed: nothing more becomes durable. */
    readonly hasFailed: boolean;
    /** The store has no room. The host tries again. */
    readonly isFull: boolean;
  };
  /** Counters that are not 0. */
  readonly counters: Readonly<Partial<Record<CounterName, number>>>;
}

export interface ConnectionState {
  readonly conn: ConnId;
  readonly transport: string;
  readonly remote: string;
  readonly stage: keyof typeof Stage;
  readonly level: ProtocolLevel;
  readonly isBridge: boolean;
  readonly clientId: string;
  readonly username: string | null;
  readonly keepAliveMillis: number;
  readonly lastSeen: Millis;
  /** Whether its transport takes no bytes. */
  readonly isBlocked: boolean;
  /** The reasons why its input is not handled. */
  readonly parked: readonly (keyof typeof Parked)[];
  /** Replies that wait to be sent. */
  readonly replyCount: number;
  /** Replies that wait for a commit. */
  readonly gatedCount: number;
  /** Input that was received while parked. */
  readonly inputBacklogBytes: number;
  /** The beginning of an incomplete packet. */
  readonly partialBytes: number;
  readonly hasWill: boolean;
}

export interface SubscriptionState {
  readonly filter: string;
  /** The granted QoS. */
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** The Subscription Identifier; 0: none. */
  readonly identifier: number;
}

export interface SessionState {
  readonly clientId: string;
  /** Null while the client is disconnected. */
  readonly conn: ConnId | null;
  readonly expiryMillis: number;
  readonly subscriptions: readonly SubscriptionState[];
  readonly readyCount: number;
  readonly readyBytes: number;
  /** Messages that wait for the window or the client. */
  readonly queuedCount: number;
  readonly windowFree: number;
  /**
   * `sentIds`: identifiers that await PUBACK or PUBREC; `releasedIds`: identifiers that await
   * PUBCOMP.
   */
  readonly sentIds: readonly number[];
  readonly releasedIds: readonly number[];
  /** QoS 2 messages that were received and are not yet released. */
  readonly receiptCount: number;
  readonly hasWill: boolean;
}

/**
 * The state of a broker. Takes time in proportion to its connections, sessions and subscriptions.
 */
export function inspect(broker: Broker): BrokerState {
  return broker.inspect(brokerState);
}

/**
 * How many messages were acknowledged on receipt and must be kept, but are not stored yet: a crash
 * would lose them. Looks at every message in memory. Always 0 with the memory store.
 */
export function countUnstored(broker: Broker): number {
  return broker.inspect(({ records }) => records?.references.countUnstored() ?? 0);
}

function brokerState(context: BrokerContext, now: Millis): BrokerState {
  const { journal, counters } = context;
  const counted = counterNames
    .map((name) => [name, counters[Counter[name]]!] as const)
    .filter(([, value]) => value !== 0);
  return {
    now,
    isShuttingDown: context.isShuttingDown,
    connections: context.connections
      .filter((connection) => connection !== null)
      .map((connection) => connectionState(context, connection)),
    sessions: Array.from(context.sessions.all(), (session) => sessionState(context, session)),
    subscriptionCount: context.router.subscriptionCount,
    hasFanouts: context.router.hasFanouts,
    effectCount: context.effects.count,
    journal: {
      lastSeq: journal.lastSeq,
      committed: journal.committed,
      hasFailed: journal.hasFailed,
      isFull: journal.isFull,
    },
    counters: Object.fromEntries(counted),
  };
}

function connectionState(context: BrokerContext, connection: Connection): ConnectionState {
  const { id, info, level, isBridge, clientId, username, keepAliveMillis, lastSeen } = connection;
  return {
    conn: id,
    transport: info.transport,
    remote: info.remote,
    stage: stages.find((name) => Stage[name] === connection.stage)!,
    level,
    isBridge,
    clientId,
    username,
    keepAliveMillis,
    lastSeen,
    isBlocked: context.sendQueue.isBlocked(connection.slot),
    parked: parkedNames.filter((name) => (connection.parked & Parked[name]) !== 0),
    replyCount: connection.replies?.count ?? 0,
    gatedCount: connection.commitGate?.count ?? 0,
    inputBacklogBytes: connection.inputBacklog?.length ?? 0,
    partialBytes: connection.partialBytes,
    hasWill: connection.will !== null,
  };
}

function sessionState(context: BrokerContext, session: Session): SessionState {
  const { clientId, connSlot, expiryMillis, subscriptions, outbox, receiptCount, will } = session;
  const { window } = outbox;
  const counted = (count: number, at: (position: number) => number): number[] =>
    Array.from({ length: count }, (_, position) => at(position));
  return {
    clientId,
    conn: connSlot === 0 ? null : context.connections[connSlot]!.id,
    expiryMillis,
    subscriptions: Array.from(subscriptions ?? [], ([filter, options]) => ({
      filter,
      qos: (options & OPTIONS_QOS) as QoS,
      noLocal: (options & OPTIONS_NO_LOCAL) !== 0,
      retainAsPublished: (options & OPTIONS_RETAIN_AS_PUBLISHED) !== 0,
      identifier: identifierOf(options),
    })),
    readyCount: outbox.readyCount,
    readyBytes: outbox.readyBytes,
    queuedCount: outbox.queuedCount,
    windowFree: outbox.windowFree,
    sentIds: counted(window?.sentCount ?? 0, (position) => window!.sentPacketId(position)),
    releasedIds: counted(window?.releasedCount ?? 0, (position) => window!.releasedId(position)),
    receiptCount,
    hasWill: will !== null,
  };
}

const stages = Object.keys(Stage) as (keyof typeof Stage)[];
const parkedNames = Object.keys(Parked) as (keyof typeof Parked)[];
