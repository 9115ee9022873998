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
import { areMessageProperties, encodeProperties, joined } from "./codec/property-values.ts";
import { encodeUtf8 } from "./codec/utf8.ts";
import type { BrokerConfig } from "./config.ts";
import { ConfigError } from "./config.ts";
import { answerDurably } from "./connection/answer.ts";
import { openGates } from "./connection/commit.ts";
import { Connection, Parked, Stage } from "./connection/connection.ts";
import { handleDeadline } from "./connection/deadline.ts";
import { close, dropWill, end, endSession, publishWill } from "./connection/end.ts";
import { Parts } from "./connection/parts.ts";
import { publishMessage, removeRetained } from "./connection/publish-message.ts";
import { receive, unpark, unparkAnswered } from "./connection/receive.ts";
import { fill } from "./connection/send.ts";
import type { WriteBatch } from "./journal/journal.ts";
import { MessageSource } from "./message/message-source.ts";
import { Counter } from "./observe/counters.ts";
import type { BrokerEvent } from "./observe/events.ts";
import type { Ports } from "./ports.ts";
import type { ReasonCode } from "./reason.ts";
import { Reason } from "./reason.ts";
import { SysTopics } from "./routing/sys.ts";
import { SteadyClock } from "./time/steady-clock.ts";
import { isTopicName } from "./topic/name.ts";

export class Broker {
  readonly #parts: Parts;
  readonly #slots: Slots;
  readonly #generations: number[] = [0];
  readonly #sys: SysTopics;
  #sysAt: Millis;
  readonly #clock = new SteadyClock();
  #isBusy = false;
  /** Bytes that were ready, for blocked connections, when everybody else had been served. */
  #stuckBytes = 0;

  constructor(config: BrokerConfig, ports: Ports) {
    this.#parts = new Parts(config, ports);
    this.#slots = new Slots(config.limits.connectionsMax);
    this.#sys = new SysTopics(config.serverName, ports.ingest.name, this.#parts.counters);
    this.#sysAt = config.limits.sysMillis === 0 ? NEVER : (0 as Millis);
  }

  /** Counters by index (`Counter`), readable at any time without a call. */
  get counters(): Float64Array {
    return this.#parts.counters;
  }

  /** Bytes made ready since everybody was last served: a host drains early when they are many. */
  get backlogBytes(): number {
    return this.#parts.counters[Counter.outputBytes]! - this.#stuckBytes;
  }

  /** It is in the middle of a call, which a port has come from: it is not to be called before that returns. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** A transport was opened. NO_CONN: refused, the host closes it and says no more of it. */
  handleOpen(info: ConnInfo, now: Millis): ConnId {
    now = this.#enter(now);
    const { connections, counters, dirty } = this.#parts;
    const slot = this.#parts.isShuttingDown ? 0 : this.#slots.take();
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
      dirty.open(slot);
      counters[Counter.connectionsOpened]!++;
      const connectBy = now + this.#parts.limits.connectMillisMax;
      this.#parts.deadlines.set(slot, connectBy as Millis);
    }
    this.#leave();
    return id;
  }

  /** `chunk` is lent until return. False: stop reading until an effect says `Read`. */
  handleBytes(conn: ConnId, chunk: Uint8Array, now: Millis): boolean {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    const readsOn = connection === null || receive(this.#parts, connection, chunk, now);
    this.#leave();
    return readsOn;
  }

  /**
   * The transport can (not) take more bytes. While it cannot, the core offers it none. Said before any
   * other call where the host still reads what `pollSend` gave it.
   */
  handleWritable(conn: ConnId, writable: boolean, now: Millis): void {
    now = this.#enter(now);
    if (!writable) this.#parts.messages.keepLent();
    const connection = this.#connection(conn);
    // One that has ended has no deadline any more, and its last bytes may be the ones that are not taken.
    if (connection !== null && connection.stage !== Stage.Ended) {
      if (writable) {
        connection.stalledAt = -1;
        this.#parts.dirty.unblock(connection.slot);
      } else {
        this.#parts.dirty.block(connection.slot);
        if (connection.stalledAt < 0) connection.stalledAt = now;
        const takeBy = connection.stalledAt + this.#parts.limits.stallMillisMax;
        this.#parts.deadlineBy(connection, takeBy as Millis);
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
      end(this.#parts, connection, reason, now);
      const { slot } = connection;
      this.#parts.connections[slot] = null;
      this.#generations[slot] = (this.#generations[slot]! + 1) & GENERATION_MASK;
      this.#slots.give(slot);
      this.#parts.counters[Counter.connectionsClosed]!++;
    }
    this.#leave();
  }

  /** The answer to a `Decide` effect; one for a connection that is gone is ignored. */
  handleDecision(conn: ConnId, decision: Decision, now: Millis): void {
    now = this.#enter(now);
    const connection = this.#connection(conn);
    if (connection !== null && (connection.parked & Parked.Decision) !== 0) {
      connection.decision = decision;
      unpark(this.#parts, connection, Parked.Decision, now);
    }
    this.#leave();
  }

  /** Everything up to and including `seq` is durable. */
  handleCommit(seq: Seq, now: Millis): void {
    now = this.#enter(now);
    this.#parts.journal.commit(seq);
    openGates(this.#parts, now);
    this.#leave();
  }

  /**
   * A batch up to `seq` could not be stored. `retry`: the host goes on trying with the same batch.
   * Otherwise nothing more will be durable: what waits for it waits for ever, who publishes durably is
   * not read, and every CONNECT is answered with `ServerUnavailable`.
   */
  handleCommitFailure(seq: Seq, retry: boolean, now: Millis): void {
    now = this.#enter(now);
    assert(seq > this.#parts.journal.committed, "what was committed does not fail");
    if (!retry) this.#parts.journal.hasFailed = true;
    this.#parts.counters[Counter.commitsFailed]!++;
    this.#leave();
  }

  /** The host's wall clock was set: it is `epochMillis`, Unix time, now. */
  handleClock(epochMillis: number, now: Millis): void {
    now = this.#enter(now);
    this.#parts.setEpoch(epochMillis - now);
    this.#leave();
  }

  /** What the embedding program asks for. Throws ConfigError for a publish that no client could send. */
  handleCommand(command: Command, now: Millis): void {
    now = this.#enter(now);
    try {
      this.#command(command, now);
    } finally {
      this.#leave();
    }
  }

  handleTimeout(now: Millis): void {
    now = this.#enter(now);
    const parts = this.#parts;
    for (let slot = parts.deadlines.poll(now); slot >= 0; slot = parts.deadlines.poll(now)) {
      handleDeadline(parts, parts.connections[slot]!, now);
    }
    for (let s = parts.sessions.pollExpired(now); s !== null; s = parts.sessions.pollExpired(now)) {
      parts.counters[Counter.sessionsExpired]!++;
      endSession(parts, s, now);
    }
    for (let s = parts.sessions.pollWill(now); s !== null; s = parts.sessions.pollWill(now)) {
      const { will } = s;
      s.will = null;
      publishWill(parts, s, will, now);
    }
    for (
      let topic = parts.retained.pollExpired(now);
      topic !== null;
      topic = parts.retained.pollExpired(now)
    ) {
      removeRetained(parts, topic);
    }
    for (const { slot } of parts.walking) parts.dirty.mark(slot);
    parts.walking.clear();
    if (now >= this.#sysAt) {
      this.#sysAt = (now + parts.limits.sysMillis) as Millis;
      this.#sys.update(now, (topic, value) => {
        this.#publish(
          { kind: "publish", topic, payload: encodeUtf8(value), qos: 0, retain: true },
          now,
        );
      });
    }
    this.#leave();
  }

  /** Encodes the next dirty connection's packets into `out`; returns it, or NO_CONN. */
  pollSend(out: OutBuffer, now: Millis): ConnId {
    assert(out.bytes.length >= OUT_BYTES_MIN, "an OutBuffer has at least OUT_BYTES_MIN bytes");
    now = this.#enter(now);
    const parts = this.#parts;
    let id = NO_CONN;
    out.length = 0;
    out.tail = null;
    while (id === NO_CONN) {
      if (parts.router.hasFanouts) this.#continueFanouts(now);
      const slot = parts.dirty.next();
      if (slot === 0) {
        if (parts.router.hasFanouts) continue;
        this.#stuckBytes = parts.counters[Counter.outputBytes]!;
        break;
      }
      const connection = parts.connections[slot]!;
      if (connection === null || connection.stage === Stage.Ended) continue;
      const isDone = fill(parts, connection, out);
      if (!isDone) parts.dirty.mark(slot);
      if (out.length > 0 || out.tail !== null) id = connection.id;
      if (connection.parked !== 0) unparkAnswered(parts, connection, now);
      if (isDone && connection.stage === Stage.Closing) this.#finish(connection, now);
    }
    if (id !== NO_CONN) parts.counters[Counter.bytesSent]! += byteCount(out);
    this.#leave();
    return id;
  }

  /** Fills `effect`; false when there is none. */
  pollEffect(effect: Effect): boolean {
    const { effects, requests } = this.#parts;
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
    return !this.#parts.router.hasFanouts && this.#parts.journal.poll(batch);
  }

  /** Control-plane news for logs and hooks, or null. */
  pollEvent(): BrokerEvent | null {
    return this.#parts.events.poll();
  }

  /** When `handleTimeout` is next to be called: may be early, NEVER when nothing is due. */
  pollTimeout(): Millis {
    const { deadlines, sessions, retained, walking } = this.#parts;
    if (walking.size > 0) return this.#clock.toHost(this.#clock.now);
    const timed = Math.min(deadlines.next(), sessions.nextDeadline(), retained.nextExpiry());
    return this.#clock.toHost(Math.min(timed, this.#sysAt) as Millis);
  }

  /** What it is made of, for `inspect`: a function beside it, that who does not call it does not bundle. @internal */
  shown<T>(see: (parts: Parts, now: Millis) => T): T {
    return see(this.#parts, this.#clock.now);
  }

  #connection(id: ConnId): Connection | null {
    const connection = this.#parts.connections[id & SLOT_MASK];
    return connection !== undefined && connection !== null && connection.id === id
      ? connection
      : null;
  }

  #continueFanouts(now: Millis): void {
    const connection = this.#connection(this.#parts.router.continueFanouts());
    if (connection === null || (connection.parked & Parked.Fanout) === 0) return;
    const answer = connection.fanoutAnswer;
    connection.fanoutAnswer = 0;
    if (answer !== 0) answerDurably(this.#parts, connection, answer);
    unpark(this.#parts, connection, Parked.Fanout, now);
  }

  /** The last bytes owed to a closing connection have been polled. */
  #finish(connection: Connection, now: Millis): void {
    if (connection.gate !== null && connection.gate.count > 0) return;
    // What it was owed has gone out: of 5.0, it is told why before it is closed.
    close(this.#parts, connection, connection.endReason, now);
  }

  #command(command: Command, now: Millis): void {
    switch (command.kind) {
      case "publish":
        this.#publish(command, now);
        break;
      case "kick": {
        const slot = this.#parts.sessions.find(command.clientId)?.connSlot ?? 0;
        if (slot === 0) return;
        this.#parts.counters[Counter.closedByCommand]!++;
        close(this.#parts, this.#parts.connections[slot]!, command.reason, now);
        break;
      }
      case "observe":
        this.#parts.events.publishes = command.publishes;
        break;
      case "move":
        this.#move(command.reference, command.isForGood, now);
        break;
      case "memory":
        this.#parts.counters[Counter.hostMemoryBytes] = command.bytes;
        break;
      case "shutdown":
        this.#shutdown(now);
    }
  }

  #shutdown(now: Millis): void {
    const parts = this.#parts;
    parts.isShuttingDown = true;
    for (const connection of parts.connections) {
      if (connection === null || connection.stage >= Stage.Closing) continue;
      // A server that shuts down may leave wills until it is back, MQTT 3.1.1 §3.1.2.5.
      dropWill(parts, connection);
      if (connection.session === null) {
        close(parts, connection, Reason.ServerShuttingDown, now);
        continue;
      }
      connection.endReason = Reason.ServerShuttingDown;
      connection.stage = Stage.Closing;
      parts.dirty.mark(connection.slot);
    }
  }

  #move(reference: string | null, isForGood: boolean, now: Millis): void {
    const parts = this.#parts;
    parts.serverReference = reference;
    parts.isMovedForGood = isForGood;
    if (reference === null) return;
    const reason = isForGood ? Reason.ServerMoved : Reason.UseAnotherServer;
    for (const connection of parts.connections) {
      if (connection === null || connection.session === null) continue;
      parts.counters[Counter.closedByCommand]!++;
      close(parts, connection, reason, now);
    }
  }

  #publish(command: Extract<Command, { kind: "publish" }>, now: Millis): void {
    const { messages, limits } = this.#parts;
    const { topic, payload, qos, retain, properties = {} } = command;
    const name = encodeUtf8(topic);
    if (!isTopicName(name, 0, name.length, limits.topicBytesMax, limits.topicLevelsMax)) {
      throw new ConfigError("topic", topic, "a topic name within the limits, without wildcards");
    }
    const { MessageExpiryInterval: seconds, ...forwarded } = properties;
    const fields = encodeProperties(forwarded);
    const isTime = seconds === undefined || (Number.isInteger(seconds) && seconds >= 0);
    if (!isTime || seconds! > 0xffff_ffff || !areMessageProperties(fields)) {
      throw new ConfigError(
        "properties",
        properties,
        "what a PUBLISH may have, for every receiver",
      );
    }
    const length = Uint8Array.of(name.length >> 8, name.length & 0xff);
    const bytes = joined([length, name, fields, payload]);
    const topicEnd = 2 + name.length;
    const payloadStart = topicEnd + fields.length;
    const message = messages.create(
      Object.assign(new MessageSource(), {
        ...{ bytes, topicEnd, payloadStart, payloadEnd: bytes.length, qos, isRetained: retain },
        propertyRuns: fields.length === 0 ? [] : [topicEnd, payloadStart],
        expiresAt: seconds === undefined ? NEVER : ((now + seconds * 1000) as Millis),
      }),
    );
    if (message !== 0) publishMessage(this.#parts, "", message, null, now);
  }

  /** The broker's time of the call. */
  #enter(now: Millis): Millis {
    assert(!this.#isBusy, "the core is not called from within");
    if (!this.#clock.advance(now)) this.#parts.counters[Counter.clockHeld]!++;
    this.#isBusy = true;
    this.#parts.messages.now = this.#clock.now;
    return this.#clock.now;
  }

  #leave(): void {
    const { counters, messages } = this.#parts;
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
