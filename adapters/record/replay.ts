/** Replays a recording: runs a broker on the recorded input and compares its output with the recorded output. */
import { createCodec } from "../../codec-wasm/mod.ts";
import type {
  BrokerState,
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
  Seq,
} from "../../core/mod.ts";
import {
  Broker,
  ConfigError,
  inspect,
  NO_CONN,
  PacketType,
  Recovery,
  Verdict,
  WriteBatch,
} from "../../core/mod.ts";
import { checkProperties, checkWhole } from "../checks.ts";
import { emptyEffect } from "../host.ts";
import { checkOptions } from "../options.ts";
import { Op } from "./format.ts";
import { OutputHash } from "./output-hash.ts";
import type { RecordedEnd, Step } from "./reader.ts";
import { RecordingError, RecordingReader } from "./reader.ts";
import { decodeLoaded, decodeRecord, messageNumber } from "./store-records.ts";

export interface ReplayOptions {
  /** The number of steps to replay. Default: all. */
  readonly until?: number;
}

export interface Replay {
  /** The version of sansmq that made the recording. */
  readonly version: string;
  readonly codec: string;
  /** Whether the hash covers all bytes of output or, for a recording without payloads, only lengths. */
  readonly covers: "bytes" | "lengths";
  readonly steps: number;
  /** A description of the last step. */
  readonly last: string;
  /** The time from the first step to the last. */
  readonly millis: number;
  readonly writes: number;
  readonly outputBytes: number;
  /** The hash over all output of these steps: bytes, effects, journal, events. */
  readonly hash: string;
  /** How the recording ended; null if the replay stopped before. */
  readonly end: RecordedEnd | null;
  /** The first step whose output differs from the recording, or at which the broker threw; null: none. */
  readonly difference: ReplayDifference | null;
  /** The state of the broker after the last step. */
  readonly state: BrokerState;
}

export interface ReplayDifference {
  readonly step: number;
  /** A description of the step. */
  readonly what: string;
  readonly why: string;
}

/**
 * Throws ConfigError for an invalid option, and RecordingError if `recording` is not a valid recording or the host lacks its codec.
 */
export function replay(recording: Uint8Array, options: ReplayOptions = {}): Replay {
  checkOptions<ReplayOptions>("options", options, { until: true });
  const { until = Number.POSITIVE_INFINITY } = options;
  if (until !== Number.POSITIVE_INFINITY) checkWhole("until", until, 0, Number.MAX_SAFE_INTEGER);
  const reader = new RecordingReader(recording);
  const { version, codec, payloads } = reader.header;
  const replayed = new ReplayedBroker(reader.header);
  let number = 0;
  let first = 0;
  let last: Step | null = null;
  let difference: ReplayDifference | null = null;
  let isComplete = true;
  for (const step of reader.steps()) {
    if (number >= until) {
      isComplete = false;
      break;
    }
    number++;
    if (last === null) first = step.now;
    last = step;
    const why = replayed.run(step);
    if (why !== null) {
      difference = { step: number, what: description(step), why };
      break;
    }
  }
  const { hash } = replayed;
  const end = isComplete && difference === null ? reader.end : null;
  if (end !== null && end.hash !== null && end.hash !== hash.hex) {
    const why = `the hash over all output is ${hash.hex}, not ${end.hash}`;
    difference = { step: number, what: "the end", why };
  }
  return {
    version,
    codec: codec.name,
    covers: payloads ? "bytes" : "lengths",
    steps: number,
    last: last === null ? "nothing" : description(last),
    millis: last === null ? 0 : last.now - first,
    writes: hash.writeCount,
    outputBytes: hash.byteCount,
    hash: hash.hex,
    end,
    difference,
    state: inspect(replayed.broker),
  };
}

/** A broker with the recorded configuration, and ports that return the recorded results. */
class ReplayedBroker {
  readonly broker: Broker;
  readonly hash: OutputHash;
  readonly #out: OutBuffer = { bytes: new Uint8Array(0), length: 0, tail: null };
  readonly #effect: Effect = emptyEffect();
  readonly #batch = new WriteBatch();
  /** Connections that got authentication data, whose output counts by its lengths only. */
  readonly #secretConns = new Set<ConnId>();
  /** Null: the recorded broker recovered nothing. */
  #recovery: Recovery | null = null;
  /** The remaining results of port calls of the current step. */
  #verdicts: Step["verdicts"] = [];
  #allowed = 0;
  #entropy: Step["entropy"] = [];
  #hasOtherEntropy = false;

  constructor({ config, codec: { kind, name, seed }, payloads }: RecordingReader["header"]) {
    const isKnown = name === "ts" || name === "wasm-simd" || name === "wasm-plain";
    if (!isKnown) throw new RecordingError(`a recording with an unknown codec ${name}`);
    const codec =
      name === "ts"
        ? createCodec("ts", config.limits, seed)
        : createCodec(kind, config.limits, seed, name);
    if (codec === null || codec.ingest.name !== name) {
      throw new RecordingError(`a recording with codec ${name}, which this runtime lacks`);
    }
    this.hash = new OutputHash(payloads);
    const policy: Policy = {
      authenticate: () => this.#verdict(),
      publish: () => this.#verdict(),
      subscribe: () => this.#verdict(),
    };
    const { ingest, topics } = codec;
    const entropy = (out: Uint8Array): void => this.#fill(out);
    this.broker = new Broker(config, { ingest, topics, policy, entropy });
  }

  /** Returns the difference from the recording; null: none. */
  run(step: Step): string | null {
    this.#verdicts = step.verdicts;
    this.#allowed = 0;
    this.#entropy = step.entropy;
    this.#hasOtherEntropy = false;
    let hasOutput: boolean;
    try {
      hasOutput = this.#call(step);
    } catch (error) {
      return `the broker threw: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (this.#hasOtherEntropy || this.#verdicts.length > 0 || this.#entropy.length > 0) {
      return "the calls of ports differ";
    }
    if (hasOutput !== step.check >= 0) {
      return hasOutput
        ? "there is output that was not recorded"
        : "there is no output, but output was recorded";
    }
    return hasOutput && this.hash.check !== step.check ? "the output differs" : null;
  }

  /** Calls the broker. Returns whether the step has output that is checked. */
  #call(step: Step): boolean {
    const { broker, hash } = this;
    const conn = step.conn as ConnId;
    const now = step.now as Millis;
    switch (step.op) {
      case Op.Open:
        hash.number(broker.handleOpen(step.json as ConnInfo, now));
        break;
      case Op.Bytes:
        if (!broker.handleBytes(conn, step.bytes!, now)) hash.number(conn);
        break;
      case Op.Writable:
      case Op.NotWritable:
        broker.handleWritable(conn, step.op === Op.Writable, now);
        break;
      case Op.PeerEnd:
        broker.handleEnd(conn, now);
        break;
      case Op.Close:
        broker.handleClose(conn, step.number as CloseCause, now);
        this.#secretConns.delete(conn);
        break;
      case Op.Decision: {
        const decision = step.json as Decision;
        if ("data" in decision) this.#secretConns.add(conn);
        broker.handleDecision(conn, decision, now);
        break;
      }
      case Op.Record:
      case Op.WantedRecord:
      case Op.Recovered:
        this.#recover(step, now);
        break;
      case Op.Loaded: {
        const { numbers, values } = decodeLoaded(step.bytes!)!;
        broker.handleLoaded(numbers, values, now);
        break;
      }
      case Op.LoadFailure:
        broker.handleLoadFailure(decodeLoaded(step.bytes!)!.numbers, now);
        break;
      case Op.Commit:
        broker.handleCommit(step.number as Seq, now);
        break;
      case Op.CommitRetry:
      case Op.CommitFailure:
        broker.handleCommitFailure(step.number as Seq, step.op === Op.CommitRetry, now);
        break;
      case Op.Clock:
        broker.handleClock(step.number, now);
        break;
      case Op.Command:
      case Op.Publish:
        this.#command({ ...(step.json as Command), payload: step.bytes } as Command, now);
        break;
      case Op.Timeout:
        broker.handleTimeout(now);
        break;
      case Op.Send:
        return this.#send(step.outBytes, now);
      case Op.Effect:
      case Op.NoEffect: {
        const isThere = broker.pollEffect(this.#effect);
        if (isThere) hash.effect(this.#effect);
        return isThere;
      }
      case Op.Journal: {
        const isThere = broker.pollJournal(this.#batch);
        if (isThere) hash.batch(this.#batch);
        return isThere;
      }
      case Op.Event: {
        const event = broker.pollEvent();
        if (event !== null) hash.event(event);
      }
    }
    return false;
  }

  /** Takes a record of the store, or restores the state when all have been read. */
  #recover({ op, bytes }: Step, now: Millis): void {
    this.#recovery ??= new Recovery(this.broker);
    try {
      if (op === Op.Recovered) {
        this.#recovery.finish(now);
      } else {
        const { table, key, value } = decodeRecord(bytes!);
        if (op === Op.Record) this.#recovery.put(table, key, value);
        else this.#recovery.putWanted(messageNumber(key), value);
      }
    } catch (error) {
      // The program got this error when this was recorded.
      if (!(error instanceof ConfigError)) throw error;
    }
  }

  #command(command: Command, now: Millis): void {
    try {
      // The core expects valid properties. The publisher of invalid ones got an error when this was recorded.
      if (command.kind === "publish") checkProperties(command.properties ?? {}, PacketType.Publish);
      this.broker.handleCommand(command, now);
    } catch (error) {
      // The program got this error when this was recorded.
      if (!(error instanceof ConfigError)) throw error;
    }
  }

  #send(outBytes: number, now: Millis): boolean {
    const out = this.#out;
    if (out.bytes.length !== outBytes) out.bytes = new Uint8Array(outBytes);
    const conn = this.broker.pollSend(out, now);
    if (conn === NO_CONN) return false;
    this.hash.sent(conn, out, this.#secretConns.has(conn));
    return true;
  }

  #verdict(): PolicyVerdict {
    const [next] = this.#verdicts;
    if (next === undefined || this.#allowed < next.allowedBefore) {
      this.#allowed++;
      return Verdict.Allow;
    }
    this.#allowed = 0;
    this.#verdicts = this.#verdicts.slice(1);
    return next.verdict;
  }

  #fill(out: Uint8Array): void {
    const [next] = this.#entropy;
    this.#entropy = this.#entropy.slice(1);
    if (next?.length === out.length) out.set(next);
    else this.#hasOtherEntropy = true;
  }
}

function description({ op, conn, bytes, json, number, outBytes }: Step): string {
  const name = names.get(op)!;
  const ofConn = conn === 0 ? "" : ` conn ${conn}`;
  switch (op) {
    case Op.Open:
      return `${name} ${(json as ConnInfo).transport} ${(json as ConnInfo).remote}`;
    case Op.Bytes:
      return `${name}${ofConn}, ${bytes!.length} bytes`;
    case Op.Close:
      return `${name}${ofConn}, cause ${number}`;
    case Op.Command:
    case Op.Decision:
      return `${name}${ofConn} ${(json as Command | Decision).kind}`;
    case Op.Publish:
      return `${name} ${(json as { topic: string }).topic}, ${bytes!.length} bytes`;
    case Op.Commit:
    case Op.Clock:
      return `${name} ${number}`;
    case Op.Send:
      return `${name}, ${outBytes} bytes of room`;
    default:
      return `${name}${ofConn}`;
  }
}

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(Op).map(([name, op]) => [op, name.toLowerCase()]),
);
