/** Records the input of a broker and replays recordings. `createBroker({ record: recorder({ sink }) })` makes a recording. */
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

/** Makes the option `BrokerOptions.record`. Throws ConfigError. The new broker throws it for an invalid `bytesMax`. */
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
