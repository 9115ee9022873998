/** What a recording is told, apart from what makes it: who does not record does not load it. */
import type { CodecKind } from "../../codec-wasm/mod.ts";
import type { Broker, BrokerConfig, Ports } from "../../core/mod.ts";
import type { RecordingEnd, RecordSink } from "./writer.ts";

export interface RecordOptions {
  readonly sink: RecordSink;
  /** Where the recording is cut: it can only be replayed from its beginning. Default: 256 MiB. */
  readonly bytesMax?: number;
  /** False leaves the bytes of payloads out, of wills too. Passwords never are in a recording. Default: true. */
  readonly payloads?: boolean;
  /** It ended, for one of the reasons there are. Called once, outside of the broker. */
  handleEnd?(end: RecordingEnd): void;
}

/** What `RecordOptions.bytesMax` may be. */
export const recordBytesMax: Readonly<Record<"default" | "min" | "max", number>> = {
  default: 256 * 2 ** 20,
  min: 2 ** 20,
  max: 2 ** 31,
};

/** A broker that records its input. */
export interface RecordedBroker extends Broker {
  /** Hands the sink what it does not have yet. */
  flushRecording(): void;
  /** Ends the recording in order; the broker goes on. */
  endRecording(): void;
}

/** Makes the broker that is recorded; `codec` is what `ports.ingest` was made of. */
export type Recorder = (
  config: BrokerConfig,
  ports: Ports,
  codec: { readonly kind: CodecKind; readonly seed: number },
) => RecordedBroker;
