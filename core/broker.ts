/**
 * The broker: what happened goes in by `handle*`, what to do comes out by `poll*`. README.md has the
 * contract.
 *
 * It owns every connection, so the host moves bytes and no events. Nothing here does I/O, reads a clock,
 * or throws for what a peer did.
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
  Millis,
  OutBuffer,
  Seq,
} from "./boundary.ts";
import { CloseCause, EffectKind, NEVER, NO_CONN, OUT_BYTES_MIN } from "./boundary.ts";
import { encodeUtf8 } from "./codec/utf8.ts";
import type { BrokerConfig } from "./config.ts";
import { Connection, Parked, Stage } from "./connection/connection.ts";
import { BrokerContext } from "./context.ts";
import type { WriteBatch } from "./journal/journal.ts";
import { handleCommand } from "./lifecycle/commands.ts";
import { handleDeadline } from "./lifecycle/deadlines.ts";
import { replyAfterCommit } from "./lifecycle/reply-queue.ts";
import { endConnection } from "./lifecycle/transitions.ts";
import { Counter } from "./observe/counters.ts";
import type { BrokerEvent } from "./observe/events.ts";
import { encodeOutput } from "./output/encode-output.ts";
import { receive, resume, resumeAfterCommit, resumeAfterReplies } from "./packets/input.ts";
import type { Ports } from "./ports.ts";
import { removeRetained } from "./publishing/publish-message.ts";
import { publishOwn } from "./publishing/publish-own.ts";
import { endSession } from "./publishing/session-end.ts";
import { publishDelayedWill } from "./publishing/will.ts";
import type { ReasonCode } from "./reason.ts";
import { Reason } from "./reason.ts";
import { SysTopics } from "./routing/sys.ts";
import { SteadyClock } from "./time/steady-clock.ts";

export class Broker {
  readonly #context: BrokerContext;
  readonly #slots: Slots;
  readonly #generations: number[] = [0];
  readonly #sys: SysTopics;
  #sysAt: Millis;
  readonly #clock = new SteadyClock();
  #isBusy = false;
  /** Bytes that were ready, for blocked connections, when everybody else had been served. */
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

  /** Bytes made ready since everybody was last served: a host drains early when they are many. */
  get backlogBytes(): number {
    return this.#context.counters[Counter.outputBytes]! - this.#blockedBytes;
  }

  /** It is in the middle of a call, which a port has come from: it is not to be called before that returns. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** A transport was opened. NO_CONN: refused, the host closes it and says no more of it. */
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
      id = ((this.#generations[slot]! << SLOT_BITS) | slot) as ConnId;
      const connection = new Connection(slot, id, info, now);
      connections[slot] = connection;
      sendQueue.open(slot);
      counters[Counter.connectionsOpened]!++;
      const connectBy = now + this.#context.limits.connectMillisMax;
      this.#context.deadlines.set(slot, connectBy as Millis);
    }
    this.#leave();
    return id;
  }

  /** `chunk` is lent until return. False: stop reading until an effect says `Read`. */
  handleBytes(conn: ConnId, chunk: Uint8Array, now: Millis): boolean {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    const readsOn = connection === null || receive(this.#context, connection, chunk);
    this.#leave();
    return readsOn;
  }

  /**
   * The transport can (not) take more bytes. While it cannot, the core offers it none. Said before any
   * other call where the host still reads what `pollSend` gave it.
   */
  handleWritable(conn: ConnId, writable: boolean, now: Millis): void {
    now = this.#enter(now);
    if (!writable) this.#context.messages.keepLent();
    const connection = this.#connection(conn);
    // One that has ended has no deadline any more, and its last bytes may be the ones that are not taken.
    if (connection !== null && connection.stage !== Stage.Ended) {
      if (writable) {
        connection.stalledAt = -1;
        this.#context.sendQueue.unblock(connection.slot);
      } else {
        this.#context.sendQueue.block(connection.slot);
        if (connection.stalledAt < 0) connection.stalledAt = now;
        const takeBy = connection.stalledAt + this.#context.limits.stallMillisMax;
        this.#context.advanceDeadline(connection, takeBy as Millis);
      }
    }
    this.#leave();
  }

  /** The transport is gone. Called once for each connection, whoever ended it. */
  handleClose(conn: ConnId, cause: CloseCause, now: Millis): void {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    if (connection !== null) {
      const reason = cause === CloseCause.Transport ? Reason.ProtocolError : connection.endReason;
      endConnection(this.#context, connection, "transportClosed", reason);
      const { slot } = connection;
      this.#context.connections[slot] = null;
      this.#generations[slot] = (this.#generations[slot]! + 1) & GENERATION_MASK;
      this.#slots.release(slot);
      this.#context.counters[Counter.connectionsClosed]!++;
    }
    this.#leave();
  }

  /** The answer to a `Decide` effect; one for a connection that is gone is ignored. */
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
    this.#context.journal.commit(seq);
    resumeAfterCommit(this.#context);
    this.#leave();
  }

  /**
   * A batch up to `seq` could not be stored. `retry`: the host goes on trying with the same batch.
   * Otherwise nothing more will be durable: what waits for it waits for ever, who publishes durably is
   * not read, and every CONNECT is answered with `ServerUnavailable`.
   */
  handleCommitFailure(seq: Seq, retry: boolean, now: Millis): void {
    now = this.#enter(now);
    assert(seq > this.#context.journal.committed, "what was committed does not fail");
    if (!retry) this.#context.journal.hasFailed = true;
    this.#context.counters[Counter.commitsFailed]!++;
    this.#leave();
  }

  /** The host's wall clock was set: it is `epochMillis`, Unix time, now. */
  handleClock(epochMillis: number, now: Millis): void {
    now = this.#enter(now);
    this.#context.setEpoch(epochMillis - now);
    this.#leave();
  }

  /** What the embedding program asks for. Throws ConfigError for a publish that no client could send. */
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
    for (const { slot } of context.retainedScans) context.sendQueue.schedule(slot);
    context.retainedScans.clear();
    if (now >= this.#sysAt) {
      this.#sysAt = (now + context.limits.sysMillis) as Millis;
      this.#sys.update(now, (topic, value) => {
        const payload = encodeUtf8(value);
        publishOwn(context, { kind: "publish", topic, payload, qos: 0, retain: true });
      });
    }
    this.#leave();
  }

  /** Encodes packets of the next connection in the send queue into `out`; returns it, or NO_CONN. */
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
      if (isDone && connection.stage === Stage.Closing) this.#finishClosing(connection);
    }
    if (id !== NO_CONN) context.counters[Counter.bytesSent]! += byteCount(out);
    this.#leave();
    return id;
  }

  /** Fills `effect`; false when there is none. */
  pollEffect(effect: Effect): boolean {
    const { effects, requests } = this.#context;
    while (effects.count > 0) {
      const word = effects.first();
      effect.conn = effects.second() as ConnId;
      effects.drop();
      effect.kind = (word & 0xff) as EffectKindType;
      effect.reason = (word >> 8) as ReasonCode;
      effect.request = effect.kind === EffectKind.Decide ? requests.shift()! : null;
      // One that is gone meanwhile needs nothing done.
      if (this.#connection(effect.conn) !== null) return true;
    }
    return false;
  }

  /** Swaps the open group of writes with `batch`; false when there are none. */
  pollJournal(batch: WriteBatch): boolean {
    // A message and all that is owed of it are one batch, however many slices it is delivered in.
    return !this.#context.router.hasFanouts && this.#context.journal.poll(batch);
  }

  /** Control-plane news for logs and hooks, or null. */
  pollEvent(): BrokerEvent | null {
    return this.#context.events.poll();
  }

  /** When `handleTimeout` is next to be called: may be early, NEVER when nothing is due. */
  pollTimeout(): Millis {
    const { deadlines, sessions, retained, retainedScans } = this.#context;
    if (retainedScans.size > 0) return this.#clock.toHost(this.#clock.now);
    const timed = Math.min(deadlines.next(), sessions.nextDeadline(), retained.nextExpiry());
    return this.#clock.toHost(Math.min(timed, this.#sysAt) as Millis);
  }

  /** What it is made of, for `inspect`: a function beside it, that who does not call it does not bundle. @internal */
  view<T>(see: (context: BrokerContext, now: Millis) => T): T {
    return see(this.#context, this.#clock.now);
  }

  #connection(id: ConnId): Connection | null {
    const connection = this.#context.connections[id & SLOT_MASK];
    return connection !== undefined && connection !== null && connection.id === id
      ? connection
      : null;
  }

  #continueFanouts(): void {
    const connection = this.#connection(this.#context.router.continueFanouts());
    if (connection === null || (connection.parked & Parked.Fanout) === 0) return;
    const reply = connection.fanoutReply;
    connection.fanoutReply = 0;
    if (reply !== 0) replyAfterCommit(this.#context, connection, reply);
    resume(this.#context, connection, Parked.Fanout);
  }

  /** All that is queued for a closing connection has been polled. */
  #finishClosing(connection: Connection): void {
    if (connection.commitGate !== null && connection.commitGate.count > 0) return;
    endConnection(this.#context, connection, "flushed", connection.endReason);
  }

  /** The broker's time of the call. */
  #enter(now: Millis): Millis {
    assert(!this.#isBusy, "the core is not called from within");
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

const SLOT_BITS = 20;
const SLOT_MASK = 0xf_ffff;
const GENERATION_MASK = 0x3ff;
