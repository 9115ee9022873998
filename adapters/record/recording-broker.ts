/**
 * A broker that writes down everything it is asked and is answered, so that a replay can ask the same.
 *
 * A step is written before the broker takes it, so that one that breaks the broker is in the recording. What
 * a port answers meanwhile follows it, and then a check of what came out.
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
  WriteBatch,
} from "../../core/mod.ts";
import { Broker, ConfigError, encodeUtf8, NO_CONN, slotOf, Verdict } from "../../core/mod.ts";
import { queueMicrotask } from "../captured.ts";
import { version } from "../version.ts";
import { Op, toJson } from "./format.ts";
import { FrameMask } from "./frame-mask.ts";
import type { RecordOptions } from "./options.ts";
import { recordBytesMax } from "./options.ts";
import { OutputHash } from "./output-hash.ts";
import type { RecordingEnd } from "./writer.ts";
import { RecordWriter } from "./writer.ts";

export class RecordingBroker extends Broker {
  readonly #writer: RecordWriter;
  readonly #hash: OutputHash;
  readonly #answers: Answers;
  readonly #packetBytesMax: number;
  readonly #masksPayloads: boolean;
  /** What follows the frames of each connection, by slot. */
  readonly #masks: (FrameMask | null)[] = [];
  /** Connections that were told secrets of an authentication. */
  readonly #secretive = new Set<ConnId>();
  #outBytes = 0;
  #hasPolledEffects = true;

  /** `codec` is what `ports.ingest` was made of. Throws ConfigError. */
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
      // Later, for it may call the broker.
      queueMicrotask(() => options.handleEnd?.(end));
    const writer = new RecordWriter(sink, bytesMax, hash, handleEnd);
    const answers = new Answers(ports, writer);
    super(config, { ...ports, policy: answers, entropy: (out) => answers.entropy(out) });
    const { name } = ports.ingest;
    writer.header({ version, config, codec: { ...codec, name }, payloads });
    this.#writer = writer;
    this.#hash = hash;
    this.#answers = answers;
    this.#packetBytesMax = config.limits.packetBytesMax;
    this.#masksPayloads = !payloads;
  }

  /** Hands over what is not written yet. */
  flushRecording(): void {
    this.#writer.flush();
  }

  /** Ends the recording in order; the broker goes on. */
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
    this.#answers.begin();
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
    this.#secretive.delete(conn);
  }

  override handleDecision(conn: ConnId, decision: Decision, now: Millis): void {
    // What a method says to its client can give a password away, to who tries many: not even that is kept.
    const data = "data" in decision ? decision.data : undefined;
    if (data !== undefined) this.#secretive.add(conn);
    const known = data === undefined ? decision : { ...decision, data: masked(data) };
    this.#begin(Op.Decision, now, conn, known);
    super.handleDecision(conn, decision, now);
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
    this.#answers.begin();
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
      const isSecret = this.#secretive.size > 0 && this.#secretive.has(conn);
      this.#hash.sent(conn, out, isSecret);
      writer.check();
    }
    return conn;
  }

  override pollEffect(effect: Effect): boolean {
    // It drops what is for connections that are gone, also where it finds nothing.
    if (this.#hasPolledEffects) return super.pollEffect(effect);
    const isThere = super.pollEffect(effect);
    this.#writer.stepNow(isThere ? Op.Effect : Op.NoEffect);
    this.#hasPolledEffects = !isThere;
    if (isThere) {
      this.#hash.effect(effect);
      this.#writer.check();
    }
    return isThere;
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

  /** Of steps that are few. `conn` 0: has none. */
  #begin(op: number, now: Millis, conn: number, json?: unknown, moreBytes = 1): boolean {
    this.#answers.begin();
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

  #number(op: number, now: Millis, value: number): void {
    this.#answers.begin();
    this.#hasPolledEffects = false;
    if (this.#writer.step(op, now, 8)) this.#writer.f64(value);
  }
}

/** What the ports answer within a step. That everything is allowed, which is usual, costs nothing to say. */
class Answers implements Policy {
  readonly #ports: Ports;
  readonly #writer: RecordWriter;
  #allowed = 0;

  constructor(ports: Ports, writer: RecordWriter) {
    this.#ports = ports;
    this.#writer = writer;
  }

  begin(): void {
    this.#allowed = 0;
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
      this.#allowed++;
    } else if (this.#writer.nested(Op.Verdict, COUNT_BYTES + 1)) {
      this.#writer.varint(this.#allowed);
      this.#writer.u8(verdict);
      this.#allowed = 0;
    }
    return verdict;
  }
}

function masked(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.length).fill(0x78);
}

const CONN_BYTES = 5;
const COUNT_BYTES = 5;
