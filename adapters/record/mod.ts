/** Recordings of a broker's input, and their replay: `createBroker({ record: recorder({ sink }) })` makes one. */
import type { Recorder, RecordOptions } from "./options.ts";
import { RecordingBroker } from "./recording-broker.ts";

export type { BrokerState, ConnectionState, SessionState } from "../../core/mod.ts";
export type { Recorder, RecordOptions } from "./options.ts";
export type { RecordedEnd } from "./reader.ts";
export { RecordingError } from "./reader.ts";
export type { Replay, ReplayDifference, ReplayOptions } from "./replay.ts";
export { replay } from "./replay.ts";
export type { RecordingEnd, RecordSink } from "./writer.ts";

/** What `BrokerOptions.record` takes. A broker made with it throws ConfigError for a bound that is none. */
export function recorder(options: RecordOptions): Recorder {
  return (config, ports, codec) => new RecordingBroker(config, ports, codec, options);
}
