/** Recordings of a broker's input, and their replay: `createBroker({ record: recorder({ sink }) })` makes one. */
import { checkFunction, checkSupplied, checkSwitch } from "../checks.ts";
import type { Names } from "../options.ts";
import { checkOptions } from "../options.ts";
import type { Recorder, RecordOptions } from "./options.ts";
import { RecordingBroker } from "./recording-broker.ts";

export type { BrokerState, ConnectionState, SessionState } from "../../core/mod.ts";
export type { Recorder, RecordOptions } from "./options.ts";
export type { RecordedEnd } from "./reader.ts";
export { RecordingError } from "./reader.ts";
export type { Replay, ReplayDifference, ReplayOptions } from "./replay.ts";
export { replay } from "./replay.ts";
export type { RecordingEnd, RecordSink } from "./writer.ts";

/** What `BrokerOptions.record` takes. Throws ConfigError; for a bound that is none, the broker made with it does. */
export function recorder(options: RecordOptions): Recorder {
  checkOptions<RecordOptions>("options", options, recordNames);
  checkSupplied("sink", options.sink, "write");
  if (options.payloads !== undefined) checkSwitch("payloads", options.payloads);
  if (options.handleEnd !== undefined) checkFunction("handleEnd", options.handleEnd);
  return (config, ports, codec) => new RecordingBroker(config, ports, codec, options);
}

const recordNames: Names<RecordOptions> = {
  ...{ sink: true, bytesMax: true, payloads: true, handleEnd: true },
};
