/** Runs a broker over a recording again, and says whether what comes out is what came out. */
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
  Verdict,
  WriteBatch,
} from "../../core/mod.ts";
import { checkProperties, checkWhole } from "../checks.ts";
import { checkOptions } from "../options.ts";
import { Op } from "./format.ts";
import { OutputHash } from "./output-hash.ts";
import type { RecordedEnd, Step } from "./reader.ts";
import { RecordingError, RecordingReader } from "./reader.ts";

export interface ReplayOptions {
  /** Stops after so many steps. Default: at the end. */
  readonly until?: number;
}

export interface Replay {
  /** Of sansmq, when it was recorded. */
  readonly version: string;
  readonly codec: string;
  /** What the hash covers: every byte, or, where payloads were left out, how many to whom. */
  readonly covers: "bytes" | "lengths";
  readonly steps: number;
  /** The last of them, in words. */
  readonly last: string;
  /** From the first step to the last. */
  readonly millis: number;
  readonly writes: number;
  readonly outputBytes: number;
  /** Of all output of these steps: bytes, effects, journal, events. */
  readonly hash: string;
  /** How the recording ended; null where the replay was to stop before. */
  readonly end: RecordedEnd | null;
  /** Where the output was not what was recorded, or the broker broke; null: nowhere. */
  readonly difference: ReplayDifference | null;
  /** What the broker holds after the last step. */
  readonly state: BrokerState;
}

export interface ReplayDifference {
  readonly step: number;
  /** The step in words. */
  readonly what: string;
  readonly why: string;
}

/** Throws ConfigError for a wrong option, RecordingError where `recording` is none, or the host has not the codec that it was made with. */
export function replay(recording: Uint8Array, options: ReplayOptions = {}): Replay {
  checkOptions<ReplayOptions>("options", options, { until: true });
  const { until = Number.POSITIVE_INFINITY } = options;
  if (until !== Number.POSITIVE_INFINITY) checkWhole("until", until, 0, Number.MAX_SAFE_INTEGER);
  const reader = new RecordingReader(recording);
  const { version, codec, payloads } = reader.header;
  const world = new ReplayWorld(reader.header);
  let number = 0;
  let first = 0;
  let last: Step | null = null;
  let difference: ReplayDifference | null = null;
  let isThrough = true;
  for (const step of reader.steps()) {
    if (number >= until) {
      isThrough = false;
      break;
    }
    number++;
    if (last === null) first = step.now;
    last = step;
    const why = world.take(step);
    if (why !== null) {
      difference = { step: number, what: inWords(step), why };
      break;
    }
  }
  const { hash } = world;
  const end = isThrough && difference === null ? reader.end : null;
  if (end !== null && end.hash !== null && end.hash !== hash.hex) {
    const why = `the hash over everything is ${hash.hex}, and was ${end.hash}`;
    difference = { step: number, what: "the end", why };
  }
  return {
    version,
    codec: codec.name,
    covers: payloads ? "bytes" : "lengths",
    steps: number,
    last: last === null ? "nothing" : inWords(last),
    millis: last === null ? 0 : last.now - first,
    writes: hash.writeCount,
    outputBytes: hash.byteCount,
    hash: hash.hex,
    end,
    difference,
    state: inspect(world.broker),
  };
}

/** A broker as it was recorded, with ports that answer what was answered. */
class ReplayWorld {
  readonly broker: Broker;
  readonly hash: OutputHash;
  readonly #out: OutBuffer = { bytes: new Uint8Array(0), length: 0, tail: null };
  readonly #effect: Effect = { kind: 0, conn: NO_CONN, reason: 0, request: null };
  readonly #batch = new WriteBatch();
  readonly #secretive = new Set<ConnId>();
  /** What is left of the answers of the step at hand. */
  #verdicts: Step["verdicts"] = [];
  #allowed = 0;
  #entropy: Step["entropy"] = [];
  #isUnforeseen = false;

  constructor({ config, codec: { kind, name, seed }, payloads }: RecordingReader["header"]) {
    const isKnown = name === "ts" || name === "wasm-simd" || name === "wasm-plain";
    if (!isKnown)
      throw new RecordingError(`a recording with a codec ${name}, which is not known here`);
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

  /** Null, or what is not as it was. */
  take(step: Step): string | null {
    this.#verdicts = step.verdicts;
    this.#allowed = 0;
    this.#entropy = step.entropy;
    this.#isUnforeseen = false;
    let hasOutput: boolean;
    try {
      hasOutput = this.#ask(step);
    } catch (error) {
      return `the broker broke: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (this.#isUnforeseen || this.#verdicts.length > 0 || this.#entropy.length > 0) {
      return "the broker did not ask its ports what it had asked";
    }
    if (hasOutput !== step.check >= 0) {
      return hasOutput
        ? "there is output where there was none"
        : "there is no output where there was";
    }
    return hasOutput && this.hash.check !== step.check ? "the output is not what it was" : null;
  }

  /** True: something came out that is checked. */
  #ask(step: Step): boolean {
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
        this.#secretive.delete(conn);
        break;
      case Op.Decision: {
        const decision = step.json as Decision;
        if ("data" in decision) this.#secretive.add(conn);
        broker.handleDecision(conn, decision, now);
        break;
      }
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

  #command(command: Command, now: Millis): void {
    try {
      // Who published it was told; the core takes it that these are properties at all.
      if (command.kind === "publish") checkProperties(command.properties ?? {}, PacketType.Publish);
      this.broker.handleCommand(command, now);
    } catch (error) {
      // Whose fault it was has been told.
      if (!(error instanceof ConfigError)) throw error;
    }
  }

  #send(outBytes: number, now: Millis): boolean {
    const out = this.#out;
    if (out.bytes.length !== outBytes) out.bytes = new Uint8Array(outBytes);
    const conn = this.broker.pollSend(out, now);
    if (conn === NO_CONN) return false;
    this.hash.sent(conn, out, this.#secretive.has(conn));
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
    else this.#isUnforeseen = true;
  }
}

function inWords({ op, conn, bytes, json, number, outBytes }: Step): string {
  const name = names.get(op)!;
  const of = conn === 0 ? "" : ` conn ${conn}`;
  switch (op) {
    case Op.Open:
      return `${name} ${(json as ConnInfo).transport} ${(json as ConnInfo).remote}`;
    case Op.Bytes:
      return `${name}${of}, ${bytes!.length} bytes`;
    case Op.Close:
      return `${name}${of}, cause ${number}`;
    case Op.Command:
    case Op.Decision:
      return `${name}${of} ${(json as Command | Decision).kind}`;
    case Op.Publish:
      return `${name} ${(json as { topic: string }).topic}, ${bytes!.length} bytes`;
    case Op.Commit:
    case Op.Clock:
      return `${name} ${number}`;
    case Op.Send:
      return `${name}, ${outBytes} bytes of room`;
    default:
      return `${name}${of}`;
  }
}

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(Op).map(([name, op]) => [op, name.toLowerCase()]),
);
