/** Recordings of a broker's input, and their replay: `BrokerOptions.record` makes one. */
export type { BrokerState, ConnectionState, SessionState } from "../../core/mod.ts";
export type { RecordedEnd } from "./reader.ts";
export { RecordingError } from "./reader.ts";
export type { RecordOptions } from "./recording-broker.ts";
export type { Replay, ReplayDifference, ReplayOptions } from "./replay.ts";
export { replay } from "./replay.ts";
export type { RecordingEnd, RecordSink } from "./writer.ts";
