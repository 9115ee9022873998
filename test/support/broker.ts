/** A broker in virtual time, through its public boundary, with clients that are byte streams. */
import { expect } from "vitest";
import { RecordingBroker } from "../../adapters/record/recording-broker.ts";
import { type CodecKind, createCodec } from "../../codec-wasm/mod.ts";
import {
  Broker,
  type BrokerEvent,
  CloseCause,
  type Command,
  type ConnId,
  Counter,
  type CounterName,
  type Decision,
  type DecisionRequest,
  type DurabilityRule,
  type Effect,
  EffectKind,
  type LimitName,
  type Millis,
  messageKey,
  NO_CONN,
  type OutBuffer,
  type Policy,
  parseLimits,
  Recovery,
  type RecoveryCounts,
  Table,
  Verdict,
  WriteBatch,
} from "../../core/mod.ts";
import type { Properties, Version } from "../conformance/wire.ts";
import { codecKind } from "./codecs.ts";
import type { ConnectFields, PublishFields } from "./packets.ts";
import { concat, connect, describe, levelFrom, packetsOf, split } from "./packets.ts";
import { type Recording, recordingOfEveryTest, replayWhenFinished } from "./recording.ts";

export interface TestBrokerOptions {
  readonly limits?: Partial<Record<LimitName, number>>;
  readonly policy?: Partial<Policy>;
  /** A store that commits with every drain, or only when `commit` is called. */
  readonly durable?: "at once" | "when told";
  readonly durability?: readonly DurabilityRule[];
  readonly responseInformation?: string;
  /** Default: the codec of `SANSMQ_CODEC`. */
  readonly codec?: CodecKind;
  /** Length of the buffer that packets are encoded into. */
  readonly outBytes?: number;
  /** The recording is replayed at the end of the test. Null: not recorded, even with `SANSMQ_RECORD`. */
  readonly record?: Recording | null;
}

export class TestBroker {
  readonly broker: Broker;
  readonly clients = new Map<ConnId, TestClient>();
  readonly requests: DecisionRequest[] = [];
  /** Loads that are not answered: each has the numbers of its messages. */
  readonly loads: Float64Array[] = [];
  /** Whether loads are answered only by `load`. A store that commits "when told" also does that. */
  holdsLoads = false;
  /** Whether every input is followed by a drain. */
  drains = true;
  now = 0 as Millis;
  /** `unixMillis` at the zero of `now`. */
  #epoch = 0;
  /** The committed records: values by table and key in hexadecimal. */
  store = new Map<string, Uint8Array>();
  /** The batch that the full store refused; null: it is not full. */
  #refused: WriteBatch | null = null;
  readonly #options: TestBrokerOptions;
  readonly #commitsAtOnce: boolean;
  /** The counts of recovered records; null: the broker began without a store. */
  readonly recovered: RecoveryCounts | null = null;
  readonly #out: OutBuffer;
  readonly #effect: Effect = { kind: 0, conn: NO_CONN, reason: 0, request: null, numbers: null };

  constructor(options: TestBrokerOptions = {}, before: TestBroker | null = null) {
    this.#options = options;
    const limits = parseLimits({ sysMillis: 0, ...options.limits });
    const seed = 1;
    const kind = options.codec ?? codecKind;
    const codec = createCodec(kind, limits, seed)!;
    const record = options.record === undefined ? recordingOfEveryTest() : options.record;
    let entropy = 0;
    this.#commitsAtOnce = options.durable === "at once";
    this.#out = { bytes: new Uint8Array(options.outBytes ?? 65_536), length: 0, tail: null };
    const config = {
      epochMillis: 1_700_000_000_000 + (before?.unixMillis ?? 0),
      serverName: "sansmq test",
      durable: options.durable !== undefined,
      durability: options.durability ?? [],
      answersLoads: options.durable !== undefined,
      responseInformation: options.responseInformation ?? null,
      limits,
    } as const;
    const ports = {
      ingest: codec.ingest,
      topics: codec.topics,
      policy: {
        authenticate: () => Verdict.Allow,
        publish: () => Verdict.Allow,
        subscribe: () => Verdict.Allow,
        ...options.policy,
      },
      entropy: (out: Uint8Array) => void out.fill(++entropy),
    };
    if (record === null) {
      this.broker = new Broker(config, ports);
    } else {
      const recorded = new RecordingBroker(config, ports, { kind, seed }, record);
      replayWhenFinished(record, recorded);
      this.broker = recorded;
    }
    if (before !== null) {
      const recovery = new Recovery(this.broker);
      for (const [name, value] of before.store) {
        const [table, key] = name.split("/");
        recovery.put(Number(table) as Table, new Uint8Array(Buffer.from(key!, "hex")), value);
      }
      this.store = new Map(before.store);
      this.#epoch = before.unixMillis;
      for (let numbers = recovery.wanted(); numbers !== null; numbers = recovery.wanted()) {
        for (const number of numbers) recovery.putWanted(number, this.stored(number)!);
      }
      recovery.finish(this.now);
      this.recovered = recovery.counts;
      this.drain();
    }
  }

  /** Milliseconds since the first broker of a row of recoveries began. */
  get unixMillis(): number {
    return this.#epoch + this.now;
  }

  /**
   * The process ends at once, and a new broker recovers the committed records. `downMillis`: the time
   * in between. The new broker gets the records in the reverse of the order in which they were written.
   */
  crash(downMillis = 0, options: Partial<TestBrokerOptions> = {}): TestBroker {
    this.now = (this.now + downMillis) as Millis;
    this.store = new Map([...this.store].reverse());
    // A recording has one broker.
    const { record: _, ...others } = this.#options;
    return new TestBroker({ ...others, ...options }, this);
  }

  /** A transport, without CONNECT. */
  open(): TestClient {
    const conn = this.broker.handleOpen(
      { transport: "local", remote: "test", peer: null },
      this.now,
    );
    const client = new TestClient(this, conn);
    if (conn !== NO_CONN) this.clients.set(conn, client);
    return client;
  }

  /** A client whose CONNECT was accepted; its CONNACK has been taken. */
  connected(fields: ConnectFields | string = {}): TestClient {
    const client = this.open().connects(typeof fields === "string" ? { clientId: fields } : fields);
    const [connack = ""] = client.takes(1);
    expect(connack).toMatch(/^CONNACK present=[01]( code=0)?( \w+=.*)?$/);
    client.connack = connack;
    client.isSessionPresent = connack.includes("present=1");
    return client;
  }

  /** A command of the host, and a drain. */
  command(command: Command): void {
    this.broker.handleCommand(command, this.now);
    this.drain();
  }

  /** The policy's decision on a pending request of a client, and a drain. */
  decide({ conn }: TestClient, decision: Decision): void {
    this.broker.handleDecision(conn, decision, this.now);
    this.drain();
  }

  count(name: CounterName): number {
    return this.broker.counters[Counter[name]]!;
  }

  events(): BrokerEvent[] {
    const events: BrokerEvent[] = [];
    for (let e = this.broker.pollEvent(); e !== null; e = this.broker.pollEvent()) events.push(e);
    return events;
  }

  /** Lets time pass; every deadline is handled when it is due. */
  advance(millis: number): void {
    const until = (this.now + millis) as Millis;
    for (;;) {
      const due = this.broker.pollTimeout();
      if (due > until) break;
      this.now = Math.max(this.now, due) as Millis;
      this.broker.handleTimeout(this.now);
      this.drain();
    }
    this.now = until;
    this.drain();
  }

  /** Commits all records written so far; false if there were none. */
  commit(): boolean {
    const hasWritten = this.#commitOnce();
    while (this.#commitOnce());
    this.drain();
    return hasWritten;
  }

  #commitOnce(): boolean {
    const batch = new WriteBatch();
    if (this.#refused !== null || !this.broker.pollJournal(batch)) return false;
    this.#apply(batch);
    return true;
  }

  /** The store is full: it refuses what has been written so far, until `commitRefused`. */
  refuseCommit(): void {
    this.#refused ??= new WriteBatch();
    if (this.#refused.count === 0) expect(this.broker.pollJournal(this.#refused)).toBe(true);
    this.broker.handleCommitFailure(this.#refused.lastSeq, true, this.now);
    this.drain();
  }

  /** The store has room again: the batch that it refused is committed, then everything else. */
  commitRefused(): void {
    this.#apply(this.#refused!);
    this.#refused = null;
    this.commit();
  }

  #apply(batch: WriteBatch): void {
    const records = batch.records();
    while (records.next()) {
      const key = `${records.table}/${Buffer.from(records.key).toString("hex")}`;
      const { value } = records;
      // A record is removed once, and only if it exists.
      if (value === null) expect(this.store.delete(key)).toBe(true);
      else this.store.set(key, new Uint8Array(value));
    }
    this.broker.handleCommit(batch.lastSeq, this.now);
  }

  /** Answers a load, the oldest one by default, from the store; and a drain. */
  load(index = 0): void {
    const [numbers] = this.loads.splice(index, 1);
    const values = Array.from(numbers!, (number) => this.stored(number));
    this.broker.handleLoaded(numbers!, values, this.now);
    this.drain();
  }

  /** The value of a message in the store, or null. */
  stored(number: number): Uint8Array | null {
    const key = Buffer.from(messageKey(number)).toString("hex");
    return this.store.get(`${Table.Message}/${key}`) ?? null;
  }

  /** Count of records in a table. */
  records(table: Table): number {
    return [...this.store.keys()].filter((key) => key.startsWith(`${table}/`)).length;
  }

  /** Polls until there is no more output. */
  drain(): void {
    do this.#drainOnce();
    while (this.#commitsAtOnce && (this.#commitOnce() || this.#loadOnce()));
  }

  #loadOnce(): boolean {
    if (this.loads.length === 0 || this.holdsLoads) return false;
    const numbers = this.loads.shift()!;
    const values = Array.from(numbers, (number) => this.stored(number));
    this.broker.handleLoaded(numbers, values, this.now);
    return true;
  }

  #drainOnce(): void {
    const out = this.#out;
    for (;;) {
      const conn = this.broker.pollSend(out, this.now);
      if (conn === NO_CONN) break;
      const client = this.clients.get(conn)!;
      client.stream = concat(
        client.stream,
        out.bytes.subarray(0, out.length),
        out.tail ?? NO_BYTES,
      );
    }
    while (this.broker.pollEffect(this.#effect)) {
      const { kind, conn, reason, request } = this.#effect;
      if (kind === EffectKind.Load) {
        this.loads.push(this.#effect.numbers!);
        continue;
      }
      const client = this.clients.get(conn)!;
      if (kind === EffectKind.Decide) this.requests.push(request!);
      else if (kind === EffectKind.Read) client.isReading = true;
      else client.ends(kind, reason);
    }
  }
}

/** A client that connects, publishes and subscribes, and takes packets as lines of text. */
export class TestClient {
  readonly #world: TestBroker;
  readonly conn: ConnId;
  /** The protocol level of its packets: the level of its CONNECT, then of its CONNACK. */
  level: Version = 4;
  /** The bytes that it was sent and has not taken. */
  stream: Uint8Array = NO_BYTES;
  isReading = true;
  /** The CONNACK of an accepted client, in words. */
  connack = "";
  isSessionPresent = false;
  /** How the broker ended the connection: an EffectKind, or 0. */
  ended = 0;
  reason = 0;

  constructor(world: TestBroker, conn: ConnId) {
    this.#world = world;
    this.conn = conn;
  }

  get isOpen(): boolean {
    return this.ended === 0;
  }

  /** Sends bytes, in one chunk each, and drains. */
  send(...chunks: readonly Uint8Array[]): this {
    for (const chunk of chunks) {
      // Lent: the core must copy the bytes that it keeps. A Buffer, because its slice is a view.
      const lent = Buffer.from(chunk);
      this.isReading = this.#world.broker.handleBytes(this.conn, lent, this.#world.now);
      lent.fill(0xee);
      if (this.#world.drains) this.#world.drain();
    }
    return this;
  }

  connects(fields: ConnectFields = {}): this {
    this.level = fields.level ?? 4;
    return this.send(connect(fields));
  }

  publishes(topic: string, payload: string | Uint8Array = "", fields: PublishFields = {}): this {
    return this.send(packetsOf(this.level).publish(topic, payload, fields));
  }

  /** Each filter with its options byte; properties last: `subscribes(1, ["a", 0], { SubscriptionIdentifier: 9 })`. */
  subscribes(id: number, ...parts: readonly (readonly [string, number] | Properties)[]): this {
    return this.send(packetsOf(this.level).subscribe(id, ...parts));
  }

  unsubscribes(id: number, ...filters: readonly string[]): this {
    return this.send(packetsOf(this.level).unsubscribe(id, ...filters));
  }

  /** The packets since the last call, in words; at most `count`. */
  takes(count = Number.POSITIVE_INFINITY): string[] {
    const { packets, rest } = split(this.stream);
    const taken = packets.slice(0, count);
    this.stream = concat(...packets.slice(taken.length), rest);
    return taken.map((packet) => {
      this.level = levelFrom(packet, this.level);
      return describe(packet, this.level);
    });
  }

  /** The bytes since the last call. */
  takesBytes(): Uint8Array {
    const { stream } = this;
    this.stream = NO_BYTES;
    return stream;
  }

  writable(isWritable: boolean): void {
    this.#world.broker.handleWritable(this.conn, isWritable, this.#world.now);
    this.#world.drain();
  }

  /** The client ends its own side, and continues to read. */
  halfCloses(): void {
    this.#world.broker.handleEnd(this.conn, this.#world.now);
    if (this.#world.drains) this.#world.drain();
  }

  /** The transport is cut. */
  cut(cause: CloseCause = CloseCause.Error): void {
    this.#world.broker.handleClose(this.conn, cause, this.#world.now);
    this.#world.clients.delete(this.conn);
    this.ended = EffectKind.Abort;
    this.#world.drain();
  }

  /** The broker ended the connection: the host reports that it is closed. */
  ends(kind: number, reason: number): void {
    this.ended = kind;
    this.reason = reason;
    this.#world.broker.handleClose(this.conn, CloseCause.Asked, this.#world.now);
  }
}

/**
 * A subscriber of `t/#` with a kept session and a granted QoS, and a publisher. All their records are committed.
 */
export function pair({ granted = 0, ...options }: TestBrokerOptions & { granted?: number } = {}) {
  const world = new TestBroker(options);
  const subscriber = world.open().connects({ clientId: "s", clean: false });
  world.commit();
  subscriber.subscribes(1, ["t/#", granted]);
  world.commit();
  subscriber.takes();
  return { world, subscriber, publisher: world.connected("p") };
}

/** Subscribers of `t` at QoS 1, and a publisher. */
export function fanout(count: number, options: TestBrokerOptions = {}) {
  const world = new TestBroker(options);
  const readers = Array.from({ length: count }, (_, n) => {
    const reader = world.connected(`r${n}`).subscribes(1, ["t", 1]);
    reader.takes();
    return reader;
  });
  return { world, readers, publisher: world.connected("p") };
}

const NO_BYTES: Uint8Array = new Uint8Array(0);
