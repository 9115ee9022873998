/**
 * The state that all handlers of one broker share: its subsystems, its mode, and the time of the
 * current call.
 */
import { BufferPool } from "./base/buffers.ts";
import type { Ring } from "./base/ring.ts";
import { PairRing } from "./base/ring.ts";
import type { DecisionRequest, EffectKind, Millis } from "./boundary.ts";
import { FrameRows } from "./codec/frame-rows.ts";
import type { BrokerConfig, Limits } from "./config.ts";
import type { Connection } from "./connection/connection.ts";
import { Journal } from "./journal/journal.ts";
import { MessageReferences } from "./journal/message-references.ts";
import { Records } from "./journal/records.ts";
import { EncodedBatches } from "./message/encoded-batch.ts";
import { MessagePool } from "./message/message-pool.ts";
import { PagedMessages } from "./message/paged-messages.ts";
import { RetainedMessages } from "./message/retained.ts";
import { counterNames } from "./observe/counters.ts";
import { Events } from "./observe/events.ts";
import type { Ingest, Policy, Ports } from "./ports.ts";
import type { ReasonCode } from "./reason.ts";
import { DurabilityRules } from "./routing/durability-rules.ts";
import { Router } from "./routing/router.ts";
import { SendQueue } from "./routing/send-queue.ts";
import { DeliveryQueuePool } from "./session/delivery-queue.ts";
import { Pager } from "./session/pager.ts";
import { SessionTable } from "./session/session-table.ts";
import { TimingWheel } from "./time/wheel.ts";

export class BrokerContext {
  readonly config: BrokerConfig;
  readonly limits: Limits;
  readonly ingest: Ingest;
  readonly policy: Policy;
  readonly entropy: (out: Uint8Array) => void;
  readonly buffers: BufferPool;
  /** The current chunk. */
  readonly frames: FrameRows = new FrameRows();
  readonly counters: Float64Array;
  readonly events: Events;
  readonly messages: MessagePool;
  readonly encodedBatches: EncodedBatches;
  readonly retained: RetainedMessages;
  readonly sessions: SessionTable;
  readonly router: Router;
  readonly sendQueue: SendQueue = new SendQueue();
  readonly journal: Journal;
  /** Null with the memory store: nothing is recorded, and no reply waits. */
  readonly records: Records | null;
  /** Null: no message is acknowledged before its commit, or no message waits for one. */
  readonly durability: DurabilityRules | null;
  /** Null: all queued messages stay in memory. */
  readonly pager: Pager | null;
  /** Connections by slot. */
  readonly connections: (Connection | null)[] = [null];
  /** The next deadline of each connection, by slot. */
  readonly deadlines: TimingWheel = new TimingWheel();
  /**
   * (kind | reason << 8, connection) for each effect; `requests` has those of the Decide effects in
   * order.
   */
  readonly effects: PairRing = new PairRing();
  readonly requests: DecisionRequest[] = [];
  /** Connections with replies that wait for a commit. */
  readonly gatedConnections: Set<Connection> = new Set();
  /**
   * Connections whose next message waits for a commit, or whose input waits for the store to catch
   * up.
   */
  readonly storeBlocked: Set<Connection> = new Set();
  /** Connections whose retained scan continues at the next timeout, which is due at once. */
  readonly retainedScans: Set<Connection> = new Set();
  /** Empty reply rings, for connections that need one. */
  readonly spareReplyRings: Ring[] = [];
  /** The time of the current `handle*` or `poll*` call. */
  now: Millis = 0 as Millis;
  /** Unix time, in milliseconds, at `Millis` zero. */
  epochMillis = 0;
  /** The server that clients are sent to; null: none, clients are accepted. */
  serverReference: string | null = null;
  isMovedForGood = false;
  /** The broker shuts down and refuses new connections. */
  isShuttingDown = false;

  constructor(config: BrokerConfig, ports: Ports) {
    this.config = config;
    this.limits = config.limits;
    this.ingest = ports.ingest;
    this.policy = ports.policy;
    this.entropy = (out) => ports.entropy(out);
    this.buffers = new BufferPool(
      (byteCount) => ports.allocate?.(byteCount) ?? new Uint8Array(byteCount),
    );
    this.counters = new Float64Array(counterNames.length);
    this.events = new Events(config.limits.eventsMax, this.counters);
    this.messages = new MessagePool(config.limits.messageBytesMax, this.counters, this.buffers);
    this.encodedBatches = new EncodedBatches(this.messages);
    this.retained = new RetainedMessages(config.limits, this.messages, this.counters);
    this.journal = new Journal();
    const { durable, durability = [] } = config;
    const hasRules = durable && durability.length > 0;
    this.durability = hasRules ? new DurabilityRules(durability, this.ingest) : null;
    const { limits, counters, messages } = this;
    const paged = new PagedMessages(messages, counters);
    const references = new MessageReferences(this.journal, messages, paged, counters);
    const records = config.durable ? new Records(this.journal, messages, references) : null;
    this.records = records;
    const isPaging = config.durable && config.answersLoads === true;
    this.pager = isPaging ? new Pager(messages, paged, references, limits, counters) : null;
    this.setEpoch(config.epochMillis);
    const queues = new DeliveryQueuePool();
    const { pager } = this;
    this.sessions = new SessionTable({ messages, limits, counters, records, queues, pager });
    this.router = new Router(this, ports.topics.create(config.limits));
  }

  setEpoch(epochMillis: number): void {
    this.epochMillis = epochMillis;
    if (this.records !== null) this.records.epochMillis = epochMillis;
  }

  pushEffect(kind: EffectKind, connection: Connection, reason: ReasonCode): void {
    this.effects.push(kind | (reason << 8), connection.id);
  }

  /** Sets the connection's deadline, unless an earlier one is set. */
  advanceDeadline(connection: Connection, deadline: Millis): void {
    const { slot } = connection;
    if (!this.deadlines.isSet(slot) || this.deadlines.deadline(slot) > deadline) {
      this.deadlines.set(slot, deadline);
    }
  }
}
