/** The options of a recording. A separate file, so that a program without recordings does not load their code. */
import type { CodecKind } from "../../codec-wasm/mod.ts";
import type { Broker, BrokerConfig, Ports } from "../../core/mod.ts";
import type { RecordingEnd, RecordSink } from "./writer.ts";

export interface RecordOptions {
  readonly sink: RecordSink;
  /** Maximum size of the recording, which then ends. It can only be replayed from its beginning. Default: 256 MiB. */
  readonly bytesMax?: number;
  /** False masks payloads, also those of wills. Passwords are always masked. Default: true. */
  readonly payloads?: boolean;
  /** The recording has ended. Called once, outside of calls of the broker. */
  handleEnd?(end: RecordingEnd): void;
}

/** The range of `RecordOptions.bytesMax`. */
export const recordBytesMax: Readonly<Record<"default" | "min" | "max", number>> = {
  default: 256 * 2 ** 20,
  min: 2 ** 20,
  max: 2 ** 31,
};

/** A broker that records its input. */
export interface RecordedBroker extends Broker {
  /** Writes all buffered entries to the sink. */
  flushRecording(): void;
  /** Ends the recording in order. The broker continues without it. */
  endRecording(): void;
}

/** Makes a broker that is recorded. `codec` is what `ports.ingest` was created with. */
export type Recorder = (
  config: BrokerConfig,
  ports: Ports,
  codec: { readonly kind: CodecKind; readonly seed: number },
) => RecordedBroker;
