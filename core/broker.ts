/**
 * The broker: `handle*` methods take inputs, `poll*` methods return outputs. README.md has the
 * contract.
 *
 * It owns all connections; the host only moves bytes. It does no I/O, reads no clock, and never
 * throws because of a peer.
 */
import { assert } from "./base/assert.ts";
import { Slots } from "./base/slots.ts";
import type {
  Command,
  ConnId,
  ConnInfo,
  Decision,
  Effect,
  EffectKind as EffectKindType,
  JournalState,
  Millis,
  OutBuffer,
  Seq,
  Table,
} from "./boundary.ts";
import {
  CloseCause,
  connIdOf,
  EffectKind,
  NEVER,
  NO_CONN,
  OUT_BYTES_MIN,
  slotOf,
} from "./boundary.ts";
import { encodeUtf8 } from "./codec/utf8.ts";
import type { BrokerConfig } from "./config.ts";
import { Connection, Parked, Stage } from "./connection/connection.ts";
import { BrokerContext } from "./context.ts";
import type { WriteBatch } from "./journal/batch.ts";
import { handleCommand } from "./lifecycle/commands.ts";
import { commitWrites, failCommit, journalStateOf } from "./lifecycle/commits.ts";
import { handleDeadline } from "./lifecycle/deadlines.ts";
import { endIfNothingIsOwed, finishClosing, handlePeerEnd } from "./lifecycle/half-close.ts";
import { continuePaging, handleLoaded, handleLoadFailure, pollLoad } from "./lifecycle/loads.ts";
import { endConnection } from "./lifecycle/transitions.ts";
import { Counter } from "./observe/counters.ts";
import type { BrokerEvent } from "./observe/events.ts";
import { encodeOutput } from "./output/encode-output.ts";
import {
  receiveChunk,
  resume,
  resumeAfterCommit,
  resumeAfterFanout,
  resumeAfterReplies,
} from "./packets/input.ts";
import type { Ports } from "./ports.ts";
import { publishCommand } from "./publishing/publish-command.ts";
import { removeRetained } from "./publishing/publish-message.ts";
import { endSession } from "./publishing/session-end.ts";
import { publishDelayedWill } from "./publishing/will.ts";
import type { ReasonCode } from "./reason.ts";
import { Reason } from "./reason.ts";
import { SysTopics } from "./routing/sys.ts";
import { SteadyClock } from "./time/steady-clock.ts";

export class Broker {
  readonly #context: BrokerContext;
  readonly #slots: Slots;
  /** How many connections each slot has had. */
  readonly #generations: number[] = [0];
  readonly #sys: SysTopics;
  #sysAt: Millis;
  readonly #clock = new SteadyClock();
  #isBusy = false;
  /** When the batch of writes that the store is storing was polled; NEVER: there is none. */
  #commitBeganAt = NEVER;
  /** The output that was left for blocked connections when `pollSend` last returned NO_CONN. */
  #blockedBytes = 0;

  constructor(config: BrokerConfig, ports: Ports) {
    this.#context = new BrokerContext(config, ports);
    this.#slots = new Slots(config.limits.connectionsMax);
    this.#sys = new SysTopics(config.serverName, ports.ingest.name, this.#context.counters);
    this.#sysAt = config.limits.sysMillis === 0 ? NEVER : (0 as Millis);
  }

  /** Counters by index (`Counter`), readable at any time without a call. */
  get counters(): Float64Array {
    return this.#context.counters;
  }

  /**
   * About how many bytes of messages `pollSend` can return now, because their transports take
   * bytes. A host drains early when there are many.
   */
  get sendableBytes(): number {
    return this.#context.counters[Counter.outputBytes]! - this.#blockedBytes;
  }

  /**
   * Whether a call is in progress. Code that a port runs must not call the broker before that call
   * returns.
   */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /**
   * A transport was opened. NO_CONN: refused; the host closes the transport and makes no more calls
   * for it.
   */
  handleOpen(info: ConnInfo, now: Millis): ConnId {
    now = this.#enter(now);
    const { connections, counters, sendQueue } = this.#context;
    const slot = this.#context.isShuttingDown ? 0 : this.#slots.acquire();
    let id = NO_CONN;
    if (slot === 0) {
      counters[Counter.connectionsRefused]!++;
    } else {
      while (connections.length <= slot) {
        connections.push(null);
        this.#generations.push(0);
      }
      id = connIdOf(slot, this.#generations[slot]!);
      const connection = new Connection(slot, id, info, now);
      connections[slot] = connection;
      sendQueue.open(slot);
      counters[Counter.connectionsOpened]!++;
      const connectDeadline = now + this.#context.limits.connectMillisMax;
      this.#context.deadlines.set(slot, connectDeadline as Millis);
    }
    this.#leave();
    return id;
  }

  /**
   * Bytes arrived. `chunk` is lent until the call returns. False: stop reading until a `Read`
   * effect.
   */
  handleBytes(conn: ConnId, chunk: Uint8Array, now: Millis): boolean {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    const mayReadOn = connection === null || receiveChunk(this.#context, connection, chunk);
    this.#leave();
    return mayReadOn;
  }

  /**
   * The transport can or cannot take more bytes. While it cannot, the core offers none. A host that
   * still reads the tail from `pollSend` calls this before any other method.
   */
  handleWritable(conn: ConnId, writable: boolean, now: Millis): void {
    now = this.#enter(now);
    if (!writable) this.#context.messages.keepLent();
    const connection = this.#connection(conn);
    // An ended connection has no deadline any more; the host may still be sending its last bytes.
    if (connection !== null && connection.stage !== Stage.Ended) {
      if (writable) {
        connection.stalledAt = -1;
        this.#context.sendQueue.unblock(connection.slot);
      } else {
        this.#context.sendQueue.block(connection.slot);
        if (connection.stalledAt < 0) connection.stalledAt = now;
        const stallDeadline = connection.stalledAt + this.#context.limits.stallMillisMax;
        this.#context.advanceDeadline(connection, stallDeadline as Millis);
      }
    }
    this.#leave();
  }

  /**
   * The peer writes no more, but may still read. A `Close` effect follows once all output for the
   * client has been sent.
   */
  handleEnd(conn: ConnId, now: Millis): void {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    if (connection !== null) {
      handlePeerEnd(this.#context, connection);
    }
    this.#leave();
  }

  /** The transport has closed. To be called once for each connection, whichever side closed it. */
  handleClose(conn: ConnId, cause: CloseCause, now: Millis): void {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    if (connection !== null) {
      const reason = cause === CloseCause.Transport ? Reason.ProtocolError : connection.endReason;
      endConnection(this.#context, connection, "transportClosed", reason);
      const { slot } = connection;
      this.#context.connections[slot] = null;
      this.#generations[slot]!++;
      this.#slots.release(slot);
      this.#context.counters[Counter.connectionsClosed]!++;
    }
    this.#leave();
  }

  /** The response to a `Decide` effect. Ignored if the connection has ended. */
  handleDecision(conn: ConnId, decision: Decision, now: Millis): void {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    if (connection !== null && (connection.parked & Parked.Decision) !== 0) {
      connection.decision = decision;
      resume(this.#context, connection, Parked.Decision);
    }
    this.#leave();
  }

  /** Everything up to and including `seq` is durable. */
  handleCommit(seq: Seq, now: Millis): void {
    now = this.#enter(now);
    commitWrites(this.#context, seq, now - this.#commitBeganAt);
    this.#commitBeganAt = NEVER;
    resumeAfterCommit(this.#context);
    this.#leave();
  }

  /**
   * A batch up to `seq` could not be stored. `retry`: the store is full, and the host tries again with
   * the same batch until `handleCommit`. Until then, connections whose packets need a commit are not
   * read any more, and a CONNECT that needs one is refused with `QuotaExceeded`. Otherwise no more
   * writes become durable: replies that wait for a commit are never sent, connections that cause
   * writes are not read, and each CONNECT is refused with `ServerUnavailable`.
   */
  handleCommitFailure(seq: Seq, retry: boolean, now: Millis): void {
    this.#enter(now);
    failCommit(this.#context, seq, retry);
    this.#leave();
  }

  /**
   * The response to a `Load` effect: for each of its numbers the value of the message's record, or
   * null if the store has none. The caller lends the values until the call returns.
   */
  handleLoaded(numbers: Float64Array, values: readonly (Uint8Array | null)[], now: Millis): void {
    this.#enter(now);
    handleLoaded(this.#context, numbers, values);
    this.#leave();
  }

  /** The messages of a `Load` effect cannot be read: the store has failed, as with a commit. */
  handleLoadFailure(numbers: Float64Array, now: Millis): void {
    this.#enter(now);
    handleLoadFailure(this.#context, numbers);
    this.#leave();
  }

  /** The host's wall clock was set: `epochMillis` is the Unix time now. */
  handleClock(epochMillis: number, now: Millis): void {
    now = this.#enter(now);
    this.#context.setEpoch(epochMillis - now);
    this.#leave();
  }

  /**
   * Applies a command of the host program. Throws ConfigError for a publish that no client could
   * send.
   */
  handleCommand(command: Command, now: Millis): void {
    this.#enter(now);
    try {
      handleCommand(this.#context, command);
    } finally {
      this.#leave();
    }
  }

  handleTimeout(now: Millis): void {
    now = this.#enter(now);
    const context = this.#context;
    for (let slot = context.deadlines.poll(now); slot >= 0; slot = context.deadlines.poll(now)) {
      handleDeadline(context, context.connections[slot]!);
    }
    for (
      let s = context.sessions.pollExpired(now);
      s !== null;
      s = context.sessions.pollExpired(now)
    ) {
      context.counters[Counter.sessionsExpired]!++;
      endSession(context, s);
    }
    for (let s = context.sessions.pollWill(now); s !== null; s = context.sessions.pollWill(now)) {
      publishDelayedWill(context, s);
    }
    for (
      let topic = context.retained.pollExpired(now);
      topic !== null;
      topic = context.retained.pollExpired(now)
    ) {
      removeRetained(context, topic);
    }
    continuePaging(context);
    for (const { slot } of context.retainedScans) context.sendQueue.schedule(slot);
    context.retainedScans.clear();
    if (now >= this.#sysAt) {
      this.#sysAt = (now + context.limits.sysMillis) as Millis;
      this.#sys.update(now, (topic, value) => {
        const payload = encodeUtf8(value);
        publishCommand(context, { kind: "publish", topic, payload, qos: 0, retain: true });
      });
    }
    this.#leave();
  }

  /**
   * Encodes output of the next connection in the send queue into `out`; returns the connection, or
   * NO_CONN.
   */
  pollSend(out: OutBuffer, now: Millis): ConnId {
    assert(out.bytes.length >= OUT_BYTES_MIN, "an OutBuffer has at least OUT_BYTES_MIN bytes");
    now = this.#enter(now);
    const context = this.#context;
    let id = NO_CONN;
    out.length = 0;
    out.tail = null;
    while (id === NO_CONN) {
      if (context.router.hasFanouts) this.#continueFanouts();
      const slot = context.sendQueue.next();
      if (slot === 0) {
        if (context.router.hasFanouts) continue;
        this.#blockedBytes = context.counters[Counter.outputBytes]!;
        break;
      }
      const connection = context.connections[slot]!;
      if (connection === null || connection.stage === Stage.Ended) continue;
      const isDone = encodeOutput(context, connection, out);
      if (!isDone) context.sendQueue.schedule(slot);
      if (out.length > 0 || out.tail !== null) id = connection.id;
      if (connection.parked !== 0) resumeAfterReplies(context, connection);
      // The input that was resumed may have caused more replies.
      const isFlushed = isDone && connection.replies === null;
      if (isFlushed && connection.stage === Stage.Closing) finishClosing(context, connection);
      else if (connection.hasPeerEnded)
        endIfNothingIsOwed(this.#context, connection, id !== NO_CONN);
    }
    if (id !== NO_CONN) context.counters[Counter.bytesSent]! += byteCount(out);
    this.#leave();
    return id;
  }

  /** Fills `effect`; false if there is none. */
  pollEffect(effect: Effect): boolean {
    const { effects, requests } = this.#context;
    effect.numbers = null;
    while (effects.count > 0) {
      const word = effects.first();
      effect.conn = effects.second() as ConnId;
      effects.drop();
      effect.kind = (word & 0xff) as EffectKindType;
      effect.reason = (word >> 8) as ReasonCode;
      effect.request = effect.kind === EffectKind.Decide ? requests.shift()! : null;
      // Effects for a connection that has closed meanwhile are skipped.
      if (this.#connection(effect.conn) !== null) return true;
    }
    return pollLoad(this.#context, effect);
  }

  /**
   * Whether there are writes for `pollJournal`, and whether output waits for the commit of any. A host may
   * delay a batch that no output waits for, to store it together with later writes.
   */
  get journalState(): JournalState {
    return journalStateOf(this.#context);
  }

  /** Swaps the open batch of writes with `batch`; false if there are no writes. */
  pollJournal(batch: WriteBatch): boolean {
    // A message and all its deliveries belong to one batch, also if the fan-out is delivered in
    // slices.
    if (this.#context.router.hasFanouts || !this.#context.journal.poll(batch)) return false;
    if (batch.count > 0) this.#commitBeganAt = this.#clock.now;
    return true;
  }

  /** The next control-plane event for logs and hooks, or null. */
  pollEvent(): BrokerEvent | null {
    return this.#context.events.poll();
  }

  /** When to call `handleTimeout` next: possibly early; NEVER when nothing is due. */
  pollTimeout(): Millis {
    const { deadlines, sessions, retained, retainedScans, pager } = this.#context;
    if (retainedScans.size > 0) return this.#clock.toHost(this.#clock.now);
    const timed = Math.min(deadlines.next(), sessions.nextDeadline(), retained.nextExpiry());
    const paging = pager === null ? NEVER : pager.nextTimeout();
    return this.#clock.toHost(Math.min(timed, this.#sysAt, paging) as Millis);
  }

  /**
   * Gives the function `inspect` access to the context. It is a separate function, so that bundlers
   * can drop it. @internal
   */
  inspect<T>(read: (context: BrokerContext, now: Millis) => T): T {
    return read(this.#context, this.#clock.now);
  }

  /**
   * `Recovery` reports each record of the store here, before any other call. Does nothing: a subclass
   * may record it. @internal
   */
  handleRecord(_table: Table, _key: Uint8Array, _value: Uint8Array): void {}

  /** Like `handleRecord`, for a message that `Recovery.wanted` asked for. @internal */
  handleWantedRecord(_key: Uint8Array, _value: Uint8Array): void {}

  /** Gives `Recovery` the context to restore state into, before any other call. @internal */
  restore(now: Millis, restore: (context: BrokerContext) => void): void {
    this.#enter(now);
    restore(this.#context);
    this.#leave();
  }

  #connection(id: ConnId): Connection | null {
    const connection = this.#context.connections[slotOf(id)];
    return connection !== undefined && connection !== null && connection.id === id
      ? connection
      : null;
  }

  #continueFanouts(): void {
    const connection = this.#connection(this.#context.router.continueFanouts());
    if (connection !== null) resumeAfterFanout(this.#context, connection);
  }

  /** Starts a call; returns the broker's time. */
  #enter(now: Millis): Millis {
    assert(!this.#isBusy, "the broker is not called during a call");
    if (!this.#clock.advance(now)) this.#context.counters[Counter.clockHeld]!++;
    this.#isBusy = true;
    this.#context.messages.now = this.#clock.now;
    this.#context.now = this.#clock.now;
    return this.#clock.now;
  }

  #leave(): void {
    const { counters, messages } = this.#context;
    counters[Counter.messages] = messages.count;
    counters[Counter.messageBytes] = messages.byteCount;
    this.#isBusy = false;
  }
}

function byteCount(out: OutBuffer): number {
  return out.length + (out.tail === null ? 0 : out.tail.length);
}
