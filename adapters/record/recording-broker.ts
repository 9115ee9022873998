/**
 * A broker that records its input and the results of its port calls, so that a replay can repeat them.
 *
 * A step is written before the broker handles it, so that the recording contains a step at which the broker throws. The results of
 * port calls follow, and then a check of the output.
 */
import type { CodecKind } from "../../codec-wasm/mod.ts";
import type {
  AuthenticateRequest,
  BrokerConfig,
  BrokerEvent,
  CloseCause,
  Command,
  ConnId,
  ConnInfo,
  Decision,
  Effect,
  Millis,
  OutBuffer,
  Policy,
  PolicyVerdict,
  Ports,
  QoS,
  Seq,
  Table,
  WriteBatch,
} from "../../core/mod.ts";
import {
  Broker,
  ConfigError,
  encodeUtf8,
  NO_CONN,
  slotOf,
  Table as Tables,
  Verdict,
} from "../../core/mod.ts";
import { queueMicrotask } from "../captured.ts";
import { version } from "../version.ts";
import { Op, toJson } from "./format.ts";
import { FrameMask } from "./frame-mask.ts";
import type { RecordOptions } from "./options.ts";
import { recordBytesMax } from "./options.ts";
import { OutputHash } from "./output-hash.ts";
import { encodeLoaded, encodeRecord } from "./store-records.ts";
import type { RecordingEnd } from "./writer.ts";
import { RecordWriter } from "./writer.ts";

export class RecordingBroker extends Broker {
  readonly #writer: RecordWriter;
  readonly #hash: OutputHash;
  readonly #ports: PortRecorder;
  readonly #packetBytesMax: number;
  readonly #masksPayloads: boolean;
  /** By connection slot. */
  readonly #masks: (FrameMask | null)[] = [];
  /** Connections that got authentication data, whose output counts by its lengths only. */
  readonly #secretConns = new Set<ConnId>();
  #outBytes = 0;
  #hasPolledEffects = true;

  /** `codec` is what `ports.ingest` was created with. Throws ConfigError. */
  constructor(
    config: BrokerConfig,
    ports: Ports,
    codec: { readonly kind: CodecKind; readonly seed: number },
    options: RecordOptions,
  ) {
    const { sink, bytesMax = recordBytesMax.default, payloads = true } = options;
    if (!(bytesMax >= recordBytesMax.min && bytesMax <= recordBytesMax.max)) {
      const allowed = `a number from ${recordBytesMax.min} to ${recordBytesMax.max} (bytes)`;
      throw new ConfigError("record.bytesMax", bytesMax, allowed);
    }
    const hash = new OutputHash(payloads);
    const handleEnd = (end: RecordingEnd): void =>
      // Deferred, because the program's function may call the broker.
      queueMicrotask(() => options.handleEnd?.(end));
    const writer = new RecordWriter(sink, bytesMax, hash, handleEnd);
    const recorder = new PortRecorder(ports, writer);
    super(config, { ...ports, policy: recorder, entropy: (out) => recorder.entropy(out) });
    const { name } = ports.ingest;
    writer.header({ version, config, codec: { ...codec, name }, payloads });
    this.#writer = writer;
    this.#hash = hash;
    this.#ports = recorder;
    this.#packetBytesMax = config.limits.packetBytesMax;
    this.#masksPayloads = !payloads;
  }

  /** Writes all buffered entries to the sink. */
  flushRecording(): void {
    this.#writer.flush();
  }

  /** Ends the recording in order. The broker continues without it. */
  endRecording(): void {
    this.#writer.close();
  }

  override handleOpen(info: ConnInfo, now: Millis): ConnId {
    this.#begin(Op.Open, now, 0, info);
    const conn = super.handleOpen(info, now);
    if (conn !== NO_CONN) {
      this.#masks[slotOf(conn)] = new FrameMask(this.#packetBytesMax, this.#masksPayloads);
    }
    this.#hash.number(conn);
    return conn;
  }

  override handleBytes(conn: ConnId, chunk: Uint8Array, now: Millis): boolean {
    this.#ports.begin();
    this.#hasPolledEffects = false;
    const writer = this.#writer;
    if (writer.step(Op.Bytes, now, CONN_BYTES + COUNT_BYTES + chunk.length)) {
      writer.varint(conn);
      writer.varint(chunk.length);
      const { buffer, start } = writer.copy(chunk);
      this.#masks[slotOf(conn)]?.mask(buffer, start, start + chunk.length);
    }
    const readsOn = super.handleBytes(conn, chunk, now);
    if (!readsOn) this.#hash.number(conn);
    return readsOn;
  }

  override handleWritable(conn: ConnId, writable: boolean, now: Millis): void {
    this.#begin(writable ? Op.Writable : Op.NotWritable, now, conn);
    super.handleWritable(conn, writable, now);
  }

  override handleEnd(conn: ConnId, now: Millis): void {
    this.#begin(Op.PeerEnd, now, conn);
    super.handleEnd(conn, now);
  }

  override handleClose(conn: ConnId, cause: CloseCause, now: Millis): void {
    if (this.#begin(Op.Close, now, conn)) this.#writer.u8(cause);
    super.handleClose(conn, cause, now);
    this.#masks[slotOf(conn)] = null;
    this.#secretConns.delete(conn);
  }

  override handleDecision(conn: ConnId, decision: Decision, now: Millis): void {
    // Authentication data for the client is masked too, because it may allow an attacker to try passwords offline.
    const data = "data" in decision ? decision.data : undefined;
    if (data !== undefined) this.#secretConns.add(conn);
    const recorded = data === undefined ? decision : { ...decision, data: masked(data) };
    this.#begin(Op.Decision, now, conn, recorded);
    super.handleDecision(conn, decision, now);
  }

  override handleRecord(table: Table, key: Uint8Array, value: Uint8Array): void {
    this.#field(Op.Record, 0 as Millis, encodeRecord(table, key, value, this.#masksPayloads));
  }

  override handleWantedRecord(key: Uint8Array, value: Uint8Array): void {
    const bytes = encodeRecord(Tables.Message, key, value, this.#masksPayloads);
    this.#field(Op.WantedRecord, 0 as Millis, bytes);
  }

  override handleLoaded(
    numbers: Float64Array,
    values: readonly (Uint8Array | null)[],
    now: Millis,
  ): void {
    this.#ports.begin();
    this.#hasPolledEffects = false;
    this.#field(Op.Loaded, now, encodeLoaded(numbers, values, this.#masksPayloads));
    super.handleLoaded(numbers, values, now);
  }

  override handleLoadFailure(numbers: Float64Array, now: Millis): void {
    this.#ports.begin();
    this.#hasPolledEffects = false;
    this.#field(Op.LoadFailure, now, encodeLoaded(numbers, [], false));
    super.handleLoadFailure(numbers, now);
  }

  override restore(now: Millis, restore: Parameters<Broker["restore"]>[1]): void {
    this.#begin(Op.Recovered, now, 0);
    super.restore(now, restore);
  }

  override handleCommit(seq: Seq, now: Millis): void {
    this.#number(Op.Commit, now, seq);
    super.handleCommit(seq, now);
  }

  override handleCommitFailure(seq: Seq, retry: boolean, now: Millis): void {
    this.#number(retry ? Op.CommitRetry : Op.CommitFailure, now, seq);
    super.handleCommitFailure(seq, retry, now);
  }

  override handleClock(epochMillis: number, now: Millis): void {
    this.#number(Op.Clock, now, epochMillis);
    super.handleClock(epochMillis, now);
  }

  override handleCommand(command: Command, now: Millis): void {
    if (command.kind === "publish") {
      const { payload, ...rest } = command;
      if (this.#begin(Op.Publish, now, 0, rest, COUNT_BYTES + payload.length)) {
        this.#writer.varint(payload.length);
        this.#writer.copy(this.#masksPayloads ? masked(payload) : payload);
      }
    } else {
      this.#begin(Op.Command, now, 0, command);
    }
    super.handleCommand(command, now);
  }

  override handleTimeout(now: Millis): void {
    this.#begin(Op.Timeout, now, 0);
    super.handleTimeout(now);
  }

  override pollSend(out: OutBuffer, now: Millis): ConnId {
    this.#ports.begin();
    this.#hasPolledEffects = false;
    const writer = this.#writer;
    const { length } = out.bytes;
    if (length !== this.#outBytes && writer.nested(Op.OutBytes, COUNT_BYTES)) {
      writer.varint(length);
      this.#outBytes = length;
    }
    writer.step(Op.Send, now, 0);
    const conn = super.pollSend(out, now);
    if (conn !== NO_CONN && writer.isOpen) {
      const isSecret = this.#secretConns.size > 0 && this.#secretConns.has(conn);
      this.#hash.sent(conn, out, isSecret);
      writer.check();
    }
    return conn;
  }

  override pollEffect(effect: Effect): boolean {
    // A poll without a result is recorded too, because it drops effects of closed connections.
    if (this.#hasPolledEffects) return super.pollEffect(effect);
    const hasEffect = super.pollEffect(effect);
    this.#writer.stepNow(hasEffect ? Op.Effect : Op.NoEffect);
    this.#hasPolledEffects = !hasEffect;
    if (hasEffect) {
      this.#hash.effect(effect);
      this.#writer.check();
    }
    return hasEffect;
  }

  override pollJournal(batch: WriteBatch): boolean {
    if (!super.pollJournal(batch)) return false;
    this.#writer.stepNow(Op.Journal);
    this.#hash.batch(batch);
    this.#writer.check();
    return true;
  }

  override pollEvent(): BrokerEvent | null {
    const event = super.pollEvent();
    if (event !== null) {
      this.#writer.stepNow(Op.Event);
      this.#hash.event(event);
    }
    return event;
  }

  /** Begins a step that is not frequent. `conn` is 0 for a step without a connection. */
  #begin(op: number, now: Millis, conn: number, json?: unknown, moreBytes = 1): boolean {
    this.#ports.begin();
    this.#hasPolledEffects = false;
    const text = json === undefined ? null : encodeUtf8(toJson(json));
    const writer = this.#writer;
    const byteCount = CONN_BYTES + COUNT_BYTES + (text?.length ?? 0) + moreBytes;
    if (!writer.step(op, now, byteCount)) return false;
    if (conn !== 0) writer.varint(conn);
    if (text !== null) {
      writer.varint(text.length);
      writer.copy(text);
    }
    return true;
  }

  /** A step with bytes of the store. */
  #field(op: number, now: Millis, bytes: Uint8Array): void {
    if (!this.#writer.step(op, now, COUNT_BYTES + bytes.length)) return;
    this.#writer.varint(bytes.length);
    this.#writer.copy(bytes);
  }

  #number(op: number, now: Millis, value: number): void {
    this.#ports.begin();
    this.#hasPolledEffects = false;
    if (this.#writer.step(op, now, 8)) this.#writer.f64(value);
  }
}

/** Records the results of port calls within a step. If the policy allows all requests, as usual, there is nothing to record. */
class PortRecorder implements Policy {
  readonly #ports: Ports;
  readonly #writer: RecordWriter;
  #allowedCount = 0;

  constructor(ports: Ports, writer: RecordWriter) {
    this.#ports = ports;
    this.#writer = writer;
  }

  begin(): void {
    this.#allowedCount = 0;
  }

  authenticate(request: AuthenticateRequest): PolicyVerdict {
    return this.#verdict(this.#ports.policy.authenticate(request));
  }
  publish(conn: ConnId, topic: string, qos: QoS, retain: boolean): PolicyVerdict {
    return this.#verdict(this.#ports.policy.publish(conn, topic, qos, retain));
  }
  subscribe(conn: ConnId, filter: string, qos: QoS): PolicyVerdict {
    return this.#verdict(this.#ports.policy.subscribe(conn, filter, qos));
  }

  entropy(out: Uint8Array): void {
    this.#ports.entropy(out);
    if (!this.#writer.nested(Op.Entropy, COUNT_BYTES + out.length)) return;
    this.#writer.varint(out.length);
    this.#writer.copy(out);
  }

  #verdict(verdict: PolicyVerdict): PolicyVerdict {
    if (verdict === Verdict.Allow) {
      this.#allowedCount++;
    } else if (this.#writer.nested(Op.Verdict, COUNT_BYTES + 1)) {
      this.#writer.varint(this.#allowedCount);
      this.#writer.u8(verdict);
      this.#allowedCount = 0;
    }
    return verdict;
  }
}

function masked(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.length).fill(0x78);
}

const CONN_BYTES = 5;
const COUNT_BYTES = 5;
