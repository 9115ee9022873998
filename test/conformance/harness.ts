/**
 * What the cases are written in: clients that send and expect packets, over any transport.
 *
 * A case does not wait to see that no packet comes: it sends PINGREQ, and PINGRESP must be the next packet.
 */
import type { ConnectFields, Packet, Properties, PublishFields, Version } from "./wire.ts";
import * as wire from "./wire.ts";

/** A byte stream to the broker. */
export interface Transport {
  send(bytes: Uint8Array): void;
  /** The next bytes; null: the broker has closed it; "silence": none came in time. */
  read(timeoutMillis: number): Promise<Uint8Array | null | "silence">;
  /** Cuts the connection without DISCONNECT. */
  cut(): void;
}

/** A broker under test. */
export interface Target {
  /** Its address, for the report. */
  readonly name: string;
  connect(): Promise<Transport>;
  /** Lets time pass. */
  sleep(millis: number): Promise<void>;
  /** How long a packet that is due may take. */
  readonly patienceMillis: number;
  /** Whether it must send the reason for a close, which the specification leaves to the broker. */
  readonly explains: boolean;
  /** A user of the broker, for enhanced authentication; null: none. */
  readonly user: { readonly name: string; readonly password: string } | null;
}

/** The broker did not behave as specified. */
export class Failure extends Error {}
/** The broker lacks an optional feature that the case needs. */
export class NotSupported extends Error {}

export interface Case {
  readonly name: string;
  readonly version: Version;
  run(t: Context): Promise<void>;
}

const cases: Case[] = [];
/** Every case declared by the modules that are loaded. */
export function allCases(): readonly Case[] {
  return cases;
}

export type Run = (t: Context) => Promise<void>;

/** Declares a case for MQTT 5.0. Its name cites the statements that the case shows. */
export function mqtt5(name: string, run: Run): void {
  cases.push({ name, version: 5, run });
}
/** Declares a case for MQTT 3.1.1. */
export function mqtt311(name: string, run: Run): void {
  cases.push({ name, version: 4, run });
}
/** Declares the case once for each version. Its name cites the statements of both versions. */
export function bothVersions(name: string, run: Run): void {
  mqtt311(without("MQTT", name), run);
  mqtt5(without("MQTT311", name), run);
}

function without(prefix: string, name: string): string {
  return name.replaceAll(new RegExp(`\\[${prefix}-.*?\\] ?`, "g"), "");
}

/** The context in which a case runs. */
export class Context {
  readonly target: Target;
  readonly version: Version;
  readonly #prefix: string;
  readonly #clients: Client[] = [];
  #count = 0;
  #isOver = false;

  constructor(target: Target, version: Version, prefix: string) {
    this.target = target;
    this.version = version;
    this.#prefix = prefix;
  }

  /** A topic that no other case uses. */
  topic(suffix = "t"): string {
    return `${this.#prefix}/${suffix}`;
  }

  /** A client identifier that no other case uses. */
  clientId(name = ""): string {
    return `${this.#prefix}${name === "" ? ++this.#count : name}`.replaceAll("/", "");
  }

  /** A transport, without CONNECT. */
  async open(version: Version = this.version): Promise<Client> {
    const client = new Client(this, await this.target.connect(), version);
    this.#clients.push(client);
    // A case that exceeded its time may still be running.
    if (this.#isOver) this.end();
    return client;
  }

  /** A client that is connected. */
  async connect(fields: ConnectFields = {}, version: Version = this.version): Promise<Client> {
    const client = await this.open(version);
    client.send(wire.connect(version, { clientId: this.clientId(), ...fields }));
    client.connack = await client.expect("CONNACK");
    this.equal(client.connack.reason, 0, "the CONNACK's code");
    return client;
  }

  sleep(millis: number): Promise<void> {
    return this.target.sleep(millis);
  }

  ok(claim: boolean, what: string): void {
    if (!claim) throw new Failure(what);
  }
  equal(got: unknown, wanted: unknown, what: string): void {
    const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
    if (a !== b) throw new Failure(`${what} is ${a}, not ${b}`);
  }
  /** Ends the case as not supported if the claim is false. */
  needs(claim: boolean, what: string): void {
    if (!claim) throw new NotSupported(what);
  }

  end(): void {
    this.#isOver = true;
    for (const client of this.#clients) client.cut();
  }
}

export class Client {
  readonly version: Version;
  connack!: Packet;
  readonly #t: Context;
  readonly #transport: Transport;
  #stream: Uint8Array = new Uint8Array(0);
  /** Packets that arrived before the awaited one. */
  readonly #aside: Packet[] = [];
  #byteCount = 0;
  #lastId = 0;

  constructor(t: Context, transport: Transport, version: Version) {
    this.#t = t;
    this.#transport = transport;
    this.version = version;
  }

  send(...packets: readonly Uint8Array[]): void {
    for (const bytes of packets) this.#transport.send(bytes);
  }
  sendHex(hex: string): void {
    const bytes = hex.replaceAll(/\s/g, "").match(/../g) ?? [];
    this.send(Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 16)));
  }
  cut(): void {
    this.#transport.cut();
  }

  /** The next packet of any type; null if the broker closed; "silence" if none came in time. */
  async next(timeoutMillis = this.#t.target.patienceMillis): Promise<Packet | null | "silence"> {
    return this.#aside.shift() ?? (await this.#read(timeoutMillis));
  }

  async #read(timeoutMillis: number): Promise<Packet | null | "silence"> {
    for (;;) {
      const packet = wire.firstPacket(this.#stream, this.version);
      if (packet !== null) {
        this.#stream = this.#stream.subarray(packet.bytes.length);
        return packet;
      }
      const bytes = await this.#receive(timeoutMillis);
      if (bytes === null || bytes === "silence") return bytes;
      const longer = new Uint8Array(this.#stream.length + bytes.length);
      longer.set(this.#stream);
      longer.set(bytes, this.#stream.length);
      this.#stream = longer;
    }
  }

  async #receive(timeoutMillis: number): Promise<Uint8Array | null | "silence"> {
    const bytes = await this.#transport.read(timeoutMillis);
    if (bytes === null || bytes === "silence") return bytes;
    this.#byteCount += bytes.length;
    if (this.#byteCount > BYTES_MAX) throw new Failure("bytes come without end");
    return bytes;
  }

  /** The next packet, which must have this type. */
  async expect(type: string): Promise<Packet> {
    const packet = await this.next();
    if (packet === null) throw new Failure(`the connection was closed instead of ${type}`);
    if (packet === "silence") throw new Failure(`no ${type} came`);
    if (packet.type !== type) throw new Failure(`${show(packet)} came instead of ${type}`);
    return packet;
  }

  /** The next packet of a type; earlier packets are kept for later calls. */
  async await(type: string): Promise<Packet> {
    for (;;) {
      const packet = await this.#read(this.#t.target.patienceMillis);
      if (packet === null) throw new Failure(`the connection was closed instead of ${type}`);
      if (packet === "silence") throw new Failure(`no ${type} came`);
      if (packet.type === type) return packet;
      if (this.#aside.push(packet) > PACKETS_MAX) throw new Failure("packets come without end");
    }
  }

  /** The next packet, a PUBLISH with this payload. */
  async expectMessage(payload: string): Promise<Packet> {
    const packet = await this.expect("PUBLISH");
    if (packet.payload !== payload) {
      throw new Failure(
        `the message is ${JSON.stringify(packet.payload)}, not ${JSON.stringify(payload)}`,
      );
    }
    return packet;
  }

  /** Expects that no packet has come, and none comes before PINGRESP. */
  async quiet(): Promise<void> {
    this.send(wire.pingreq);
    await this.expect("PINGRESP");
  }

  /** Expects the end of the connection, perhaps after DISCONNECT with one of `reasons`; any reason if none is given. */
  async closed(...reasons: readonly number[]): Promise<void> {
    const packet = await this.next();
    if (packet === null) {
      const isOwed = this.#t.target.explains && this.version === 5 && reasons.length > 0;
      if (isOwed) throw new Failure("it was closed without DISCONNECT");
      return;
    }
    if (packet === "silence") throw new Failure("the connection stays open");
    const isFarewell = packet.type === "DISCONNECT" && this.version === 5;
    if (!isFarewell) throw new Failure(`${show(packet)} came instead of the end`);
    if (reasons.length > 0 && !reasons.includes(packet.reason)) {
      const wanted = reasons.map((reason) => `0x${reason.toString(16)}`).join(" or ");
      throw new Failure(`DISCONNECT says 0x${packet.reason.toString(16)}, not ${wanted}`);
    }
    const end = await this.next();
    if (end === "silence") throw new Failure("the connection stays open after DISCONNECT");
    if (end !== null) throw new Failure(`${show(end)} came after DISCONNECT`);
  }

  /** Expects the end of the connection, after any bytes. */
  async ends(): Promise<void> {
    for (;;) {
      const bytes = await this.#receive(this.#t.target.patienceMillis);
      if (bytes === null) return;
      if (bytes === "silence") throw new Failure("the connection stays open");
    }
  }

  /** Subscribes and returns the SUBACK. */
  async subscribe(filter: string, options = 0, props?: Properties): Promise<Packet> {
    const id = this.nextId();
    this.send(wire.subscribe(this.version, id, [[filter, options]], props));
    const suback = await this.await("SUBACK");
    if (suback.id !== id) throw new Failure("a SUBACK of another identifier");
    return suback;
  }

  async unsubscribe(...filters: readonly string[]): Promise<Packet> {
    const id = this.nextId();
    this.send(wire.unsubscribe(this.version, id, filters));
    const unsuback = await this.await("UNSUBACK");
    if (unsuback.id !== id) throw new Failure("an UNSUBACK of another identifier");
    return unsuback;
  }

  /** Publishes until the broker has acknowledged the message. Returns PUBACK or PUBREC, at QoS 0 PINGRESP. */
  async publish(fields: PublishFields): Promise<Packet> {
    const { qos = 0 } = fields;
    const id = fields.id ?? this.nextId();
    this.send(wire.publish(this.version, { ...fields, id }));
    if (qos === 0) {
      this.send(wire.pingreq);
      return this.await("PINGRESP");
    }
    const answer = await this.await(qos === 1 ? "PUBACK" : "PUBREC");
    if (answer.id !== id) throw new Failure("an answer with another identifier");
    if (qos === 2 && answer.reason < 0x80) {
      this.send(wire.ack(wire.Pubrel, id));
      await this.await("PUBCOMP");
    }
    return answer;
  }

  /** Sends all acknowledgements of a PUBLISH. */
  async acknowledge(packet: Packet): Promise<void> {
    if (packet.qos === 1) this.send(wire.ack(wire.Puback, packet.id));
    if (packet.qos !== 2) return;
    this.send(wire.ack(wire.Pubrec, packet.id));
    const pubrel = await this.await("PUBREL");
    this.#t.equal(pubrel.id, packet.id, "the PUBREL's identifier");
    this.send(wire.ack(wire.Pubcomp, packet.id));
  }

  nextId(): number {
    return ++this.#lastId;
  }
}

/** More than any case needs: a broker may send without end. */
const BYTES_MAX = 2 * 1024 * 1024;
const PACKETS_MAX = 1000;

function show(packet: Packet): string {
  const hex = Array.from(packet.bytes.subarray(0, 40), (byte) =>
    byte.toString(16).padStart(2, "0"),
  );
  return `${packet.type} (${hex.join(" ")})`;
}

export type Verdict = "passed" | "failed" | "not supported";
export interface Result {
  readonly name: string;
  readonly version: Version;
  readonly verdict: Verdict;
  /** Why it did not pass. */
  readonly why: string;
}

/**
 * Runs one case on topics under `prefix`. It fails if it takes longer than `millisMax`. Never throws, whatever the
 * broker does.
 */
export async function runCase(
  target: Target,
  { name, version, run }: Case,
  prefix: string,
  millisMax?: number,
): Promise<Result> {
  const context = new Context(target, version, prefix);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    if (millisMax === undefined) return;
    const error = new Failure(`it did not end in ${millisMax / 1000} seconds`);
    timer = setTimeout(() => reject(error), millisMax);
  });
  try {
    await Promise.race([run(context), late]);
    return { name, version, verdict: "passed", why: "" };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const verdict = error instanceof NotSupported ? "not supported" : "failed";
    return { name, version, verdict, why };
  } finally {
    clearTimeout(timer);
    context.end();
  }
}
