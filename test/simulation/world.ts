/**
 * The host of the simulated broker: its process, its store, its clock and its connections. All calls of the broker are
 * here. What the broker says is checked first (observer.ts), and is then on its way to the client.
 */
import { createCodec } from "../../codec-wasm/mod.ts";
import type { ConnId, Effect, Millis, OutBuffer } from "../../core/mod.ts";
import {
  Broker,
  CloseCause,
  EffectKind,
  NO_CONN,
  Reason,
  Recovery,
  Table,
  Verdict,
  WriteBatch,
} from "../../core/mod.ts";
import type { Random } from "../support/random.ts";
import type { Link, Note } from "./link.ts";
import { Sent } from "./link.ts";
import { Messages } from "./messages.ts";
import { Model } from "./model.ts";
import { Observer } from "./observer.ts";
import type { PlantedFault } from "./planted-faults.ts";
import type { Scenario } from "./scenario.ts";
import type { Copy } from "./session-model.ts";
import { Stage } from "./session-model.ts";
import { SimulatedStore } from "./store.ts";
import type { Trace } from "./trace.ts";
import { check, Violation } from "./violation.ts";
import type { Packet } from "./wire.ts";

/** The broker waits for messages of the store. */
interface Load {
  readonly numbers: Float64Array;
  /** Null: not read yet. */
  readonly values: readonly (Uint8Array | null)[] | null;
}

export class World {
  readonly random: Random;
  readonly scenario: Scenario;
  readonly messages = new Messages();
  readonly model: Model;
  readonly trace: Trace;
  /** Milliseconds since the run began. */
  now = 1000;
  /** Connections that are open, as far as the broker knows. */
  readonly links: Link[] = [];
  readonly #byConn = new Map<ConnId, Link>();
  readonly #observer: Observer;
  readonly #fault: PlantedFault;
  readonly #store: SimulatedStore;
  broker!: Broker;
  /** When the process started. */
  #startedAt = 0;
  /** What the wall clock has in addition to `now`. */
  #unixOffset = 1_700_000_000_000;
  readonly #batch = new WriteBatch();
  /** The batches that were polled, and those of them that are durable. */
  #polled = 0;
  #durable = 0;
  isCommitting = false;
  hasStoreFailed = false;
  crashCount = 0;
  readonly #out: OutBuffer;
  readonly #effect: Effect = {
    ...{ kind: EffectKind.None, conn: NO_CONN, reason: 0, request: null, numbers: null },
  };
  readonly #packets: Packet[] = [];
  /** Loads that the store has not answered. */
  readonly #loads: Load[] = [];
  #isShuttingDown = false;
  readonly #chunk = new Uint8Array(65_536);

  constructor(random: Random, scenario: Scenario, fault: PlantedFault, trace: Trace) {
    this.random = random;
    this.scenario = scenario;
    this.trace = trace;
    this.#fault = fault;
    this.#store = new SimulatedStore(fault);
    this.model = new Model(scenario.clientCount + 1, this);
    const { messages, model } = this;
    this.#observer = new Observer({ messages, model, trace, clock: this, links: this.#byConn });
    this.#out = { bytes: new Uint8Array(random.pick([4096, 65_536])), length: 0, tail: null };
    this.#start();
  }

  get unixMillis(): number {
    return this.now + this.#unixOffset;
  }
  /** The time as the process knows it. */
  get #millis(): Millis {
    return (this.now - this.#startedAt) as Millis;
  }

  /** A process starts, and recovers what the store has. */
  #start(): void {
    const { scenario, random } = this;
    this.#startedAt = this.now - random.pick([0, 0, random.below(1000)]);
    const { limits } = scenario;
    const codec = createCodec(scenario.codec, limits, 1)!;
    const config = {
      epochMillis: this.#startedAt + this.#unixOffset,
      serverName: "simulated",
      durable: true,
      responseInformation: null,
      limits,
      answersLoads: scenario.answersLoads,
    };
    this.broker = new Broker(config, {
      ingest: codec.ingest,
      topics: codec.topics,
      policy: {
        authenticate: () => Verdict.Allow,
        publish: () => Verdict.Allow,
        subscribe: () => Verdict.Allow,
      },
      entropy: (out) => void out.fill(0x61),
    });
    const recovery = new Recovery(this.broker);
    this.#store.load(recovery, random);
    recovery.finish(this.#millis);
    for (const [table, count] of Object.entries(recovery.counts.dropped)) {
      // A member of a shared subscription whose session ends with the process may have had a message in the store.
      if (Number(table) === Table.Message && scenario.answersLoads && scenario.usesShared) continue;
      check(count === 0, () => `the recovery drops ${count} records of table ${table} as damaged`);
    }
    this.model.undo.batch = this.#polled + 1;
    this.model.handleRecovered();
    // What became due while no process ran is handled before any input.
    this.advance(0);
  }

  /** The process ends at once. A batch that is being stored may have become durable, and nothing else. */
  crash(): void {
    this.trace.log("the process ends");
    if (this.isCommitting) {
      if (this.random.chance(2)) this.#makeDurable();
      else this.#store.tear(this.#batch, this.random);
    }
    for (const link of this.links) this.#end(link);
    this.links.length = 0;
    this.#byConn.clear();
    this.isCommitting = false;
    this.hasStoreFailed = false;
    this.#loads.length = 0;
    this.#isShuttingDown = false;
    // Numbers go on behind those that were lost.
    this.#durable = this.#polled;
    this.model.handleCrash();
    this.crashCount++;
    if (this.random.chance(3)) this.now += this.random.below(this.random.pick([50, 5000, 100_000]));
    if (this.scenario.isClockSet && this.random.chance(3)) this.#stepClock();
    this.trace.log("another process starts");
    this.#start();
  }

  /** The process ends in order: it tells its clients, and stores everything. */
  stop(): void {
    this.trace.log("the process stops in order");
    this.#isShuttingDown = true;
    this.broker.handleCommand({ kind: "shutdown" }, this.#millis);
    this.#observe();
    for (let round = 0; round < 4; round++) {
      this.commit();
      this.send(Number.POSITIVE_INFINITY);
      for (const link of [...this.links]) if (link.isClosing) this.close(link);
    }
    for (const link of [...this.links]) this.close(link);
    this.commit();
    // Changes that wrote nothing are in no batch.
    this.model.undo.forget(Number.POSITIVE_INFINITY);
    this.crash();
  }

  /** Returns the connection, or NO_CONN. */
  open(): ConnId {
    return this.broker.handleOpen(
      { transport: "local", remote: "simulated", peer: null },
      this.#millis,
    );
  }

  add(link: Link): void {
    this.links.push(link);
    this.#byConn.set(link.conn, link);
  }

  /** The next bytes of a client arrive. */
  deliver(link: Link, byteCount: number): void {
    const chunk = this.#chunk.subarray(0, byteCount);
    chunk.set(link.takeUp(byteCount));
    const wasDetached = link.isConfirmed && !link.isConnected;
    const { unhandled } = link;
    const wasParked = unhandled.length > 0;
    for (let note = link.nextNote(); note !== null; note = link.nextNote()) {
      this.trace.add(note.kind, note.id);
      if (note.kind === Sent.Other) continue;
      unhandled.push({ note, copy: this.#handleNote(link, note) });
    }
    link.isReading = this.broker.handleBytes(link.conn, chunk, this.#millis);
    // Lent: the broker must have copied what it keeps.
    chunk.fill(0xee);
    this.#observe();
    if (wasDetached) return;
    if (link.isReading) this.#handleRead(link, wasParked);
    else
      for (const { note } of unhandled)
        if (note.message !== null) this.model.delayExpiry(note.message);
  }

  /** The broker has got a packet, and may not have handled it yet. Returns the copy that the packet acknowledges. */
  #handleNote(link: Link, { kind, id, message }: Note): Copy | null {
    switch (kind) {
      case Sent.Publish:
        this.model.handleTransmission(message!);
        this.trace.log(() => `the broker gets message ${message!.number} #${id}`);
        link.transmitted.set(id, { message: message!, event: message!.latestAt });
        return null;
      case Sent.Disconnect:
        link.disconnectReason = id & 0xff;
        link.disconnectExpiryMillis = id >> 8 === 0 ? -1 : ((id >> 8) - 1) * 1000;
        return null;
      default: {
        const copy = link.session?.inUse.get(id) ?? null;
        this.trace.log(
          () => `the broker gets acknowledgement ${kind} #${id} of client ${link.client}`,
        );
        if (copy !== null) copy.mayBeAcknowledged = true;
        return copy;
      }
    }
  }

  /** The broker has handled all packets that it got. `isLate`: it may have done so some time ago. */
  #handleRead({ unhandled, session }: Link, isLate: boolean): void {
    for (const { note, copy } of unhandled) {
      const { kind, id, message } = note;
      if (message !== null && isLate) this.model.startExpiry(message);
      if (copy === null) continue;
      if (kind === Sent.Pubrec) {
        session!.handleReleased(id, copy, isLate);
        continue;
      }
      // The broker handled the PUBREC on a connection that was cut before that was known.
      const isUnseen = kind === Sent.Pubcomp && copy.stage === Stage.Sent;
      session!.handleDone(id, copy, isLate || isUnseen);
    }
    unhandled.length = 0;
  }

  writable(link: Link, isWritable: boolean): void {
    link.isWritable = isWritable;
    this.broker.handleWritable(link.conn, isWritable, this.#millis);
    this.#observe();
  }

  halfClose(link: Link): void {
    link.isHalfClosed = true;
    this.broker.handleEnd(link.conn, this.#millis);
    this.#observe();
  }

  /** The transport is gone. */
  close(link: Link): void {
    if (link.isClosed) return;
    link.isClosed = true;
    const cause = link.isClosing ? CloseCause.Asked : CloseCause.Error;
    this.broker.handleClose(link.conn, cause, this.#millis);
    this.#observe();
    this.links.splice(this.links.indexOf(link), 1);
    this.#byConn.delete(link.conn);
    this.#end(link);
  }

  /** What the broker has not acknowledged on a connection that is gone, it does not handle any more. */
  #end(link: Link): void {
    link.isClosed = true;
    const now = ++this.model.event;
    for (const { message, event } of link.transmitted.values()) {
      // The client may have sent it again on its next connection, before the broker knew that this one is gone.
      if (event < message.latestAt) continue;
      message.handledUntil = Math.min(message.handledUntil, now);
    }
  }

  kick(clientId: string): void {
    this.broker.handleCommand(
      { kind: "kick", clientId, reason: Reason.AdministrativeAction },
      this.#millis,
    );
    this.#observe();
  }

  /** Polls the output of at most `count` connections. */
  send(count: number): boolean {
    const out = this.#out;
    let hasSent = false;
    for (; count > 0; count--) {
      const conn = this.broker.pollSend(out, this.#millis);
      this.#observe();
      if (conn === NO_CONN) break;
      hasSent = true;
      const link = this.#byConn.get(conn);
      if (link === undefined) throw new Violation("output for a connection that has closed");
      const first = this.#packets.length;
      link.reader.read(out.bytes, out.length, out.tail, this.#packets);
      for (let i = first; i < this.#packets.length; i++)
        this.#handlePacket(link, this.#packets[i]!);
      this.#packets.length = 0;
    }
    while (this.broker.pollEffect(this.#effect)) {
      if (this.#effect.kind === EffectKind.Load) this.#load(this.#effect.numbers!);
      else this.#act();
    }
    return hasSent;
  }

  /** The store reads messages, now or when it answers. */
  #load(numbers: Float64Array): void {
    const values = this.random.chance(2) ? this.#read(numbers) : null;
    this.#loads.push({ numbers, values });
  }

  #read(numbers: Float64Array): (Uint8Array | null)[] {
    return Array.from(numbers, (number) => this.#store.read(number));
  }

  /** The store answers one of the loads, in any order. False: there is none. */
  answerLoad(): boolean {
    if (this.#loads.length === 0 || this.hasStoreFailed) return false;
    const [load] = this.#loads.splice(this.random.below(this.#loads.length), 1);
    const { numbers } = load!;
    const values = load!.values ?? this.#read(numbers);
    this.trace.log(() => `the store reads ${values.length} messages`);
    this.broker.handleLoaded(numbers, values, this.#millis);
    // Lent: the broker must have copied what it keeps.
    for (const value of values) value?.fill(0xee);
    this.#observe();
    return true;
  }

  /** The store cannot be read. False: it has nothing to read. */
  failLoad(): boolean {
    const load = this.#loads.shift();
    if (load === undefined) return false;
    this.trace.log("a load fails");
    this.hasStoreFailed = true;
    this.broker.handleLoadFailure(load.numbers, this.#millis);
    this.#observe();
    return true;
  }

  #act(): void {
    const { kind, conn } = this.#effect;
    const link = this.#byConn.get(conn)!;
    if (kind === EffectKind.Read) {
      link.isReading = true;
      this.#handleRead(link, true);
      return;
    }
    link.isClosing = true;
    // The transport is closed now or later.
    if (kind === EffectKind.Abort || this.random.chance(2)) this.close(link);
  }

  #handlePacket(link: Link, packet: Packet): void {
    this.#fault.send?.(packet);
    this.trace.add(packet.type * 65_536 + packet.id, packet.message);
    this.trace.packet(link.client, packet);
    this.#observer.handlePacket(link, packet);
    if (!link.isAbandoned) link.down.push(packet);
  }

  /** Passes on what the broker reports. */
  #observe(): void {
    for (let event = this.broker.pollEvent(); event !== null; event = this.broker.pollEvent()) {
      this.#observer.handleEvent(event, this.#isShuttingDown);
    }
  }

  /** The store begins to write a batch. False: there is none, or it is writing. */
  beginCommit(): boolean {
    if (this.isCommitting || this.hasStoreFailed) return false;
    if (!this.broker.pollJournal(this.#batch)) return false;
    this.isCommitting = true;
    this.#polled++;
    this.model.undo.batch = this.#polled + 1;
    if (this.#fault.commitsEarly) this.broker.handleCommit(this.#batch.lastSeq, this.#millis);
    return true;
  }

  /** The batch is durable. */
  endCommit(): void {
    this.isCommitting = false;
    this.#makeDurable();
    this.broker.handleCommit(this.#batch.lastSeq, this.#millis);
    this.#observe();
  }

  #makeDurable(): void {
    this.#durable = this.#polled;
    this.#store.commit(this.#batch);
    this.model.undo.forget(this.#durable);
  }

  /** The store could not write the batch, and goes on trying (`retry`), or gives up. */
  failCommit(retry: boolean): void {
    this.trace.log(() => `a commit fails, retry ${retry}`);
    if (this.#fault.commitsEarly !== true) {
      this.broker.handleCommitFailure(this.#batch.lastSeq, retry, this.#millis);
    }
    if (!retry) this.hasStoreFailed = true;
    this.#observe();
  }

  /** Stores everything. */
  commit(): void {
    if (this.hasStoreFailed) return;
    if (this.isCommitting) this.endCommit();
    while (this.beginCommit()) this.endCommit();
  }

  /** Lets time pass. What is due is handled in time. */
  advance(millis: number): void {
    const until = this.now + millis;
    for (let round = 0; ; round++) {
      const due = this.broker.pollTimeout() + this.#startedAt;
      if (due > until) break;
      check(round < 10_000, () => "the broker is due again and again");
      this.now = Math.max(this.now, due);
      this.#handleTimeout();
    }
    this.now = until;
    this.model.handleTime();
  }

  #handleTimeout(): void {
    this.model.handleTime();
    this.broker.handleTimeout(this.#millis);
    this.#observe();
  }

  /** The wall clock is set. */
  setClock(): void {
    this.#stepClock();
    this.broker.handleClock(this.unixMillis, this.#millis);
  }

  #stepClock(): void {
    const step = (this.random.below(2) * 2 - 1) * this.random.below(30_000);
    this.trace.log(() => `the wall clock is set by ${step} ms`);
    this.model.handleClockStep(step);
    this.#unixOffset += step;
  }

  get store(): SimulatedStore {
    return this.#store;
  }
}
