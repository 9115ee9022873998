/** `sansmq replay`: replays a recording and prints the result. */
import { ConfigError } from "../../core/mod.ts";
import type { Replay } from "../record/mod.ts";
import { RecordingError, replay } from "../record/mod.ts";
import { version } from "../version.ts";
import type { ReplayArguments } from "./arguments.ts";
import { readRecording } from "./record-file.ts";

/** Returns the exit code: 0 if the output is the same as recorded, else 1. Throws ConfigError if the file is no recording. */
export function replayFile({ file, until, inspect }: ReplayArguments): number {
  const recording = readRecording(file);
  let result: Replay;
  try {
    result = replay(recording, until === null ? {} : { until });
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error;
    throw new ConfigError("file", file, `a recording (it is ${error.message})`);
  }
  const { state, ...summary } = result;
  // A reader such as `head` may stop reading, which is no error.
  process.stdout.on("error", () => {});
  if (inspect) {
    process.stdout.write(`${JSON.stringify({ ...summary, state }, null, 2)}\n`);
  } else {
    process.stdout.write(`${linesOf(result).join("\n")}\n`);
  }
  return result.difference === null ? 0 : 1;
}

function linesOf(result: Replay): string[] {
  const { difference, end, covers } = result;
  const lines = [
    `recorded by sansmq ${result.version} with codec ${result.codec}`,
    `${result.steps} steps in ${result.millis} ms; the last: ${result.last}`,
    `${result.writes} writes of ${result.outputBytes} bytes, hash ${result.hash} over their ${covers}`,
  ];
  if (end?.cause === "full") lines.push("the recording is cut: it reached its maximum size");
  if (end?.cause === "torn") lines.push("the recording is incomplete: its end was not written");
  if (difference === null) {
    lines.push(`the output is the same as recorded${end === null ? ", so far" : ""}`);
    return lines;
  }
  lines.push(`differs at step ${difference.step} (${difference.what}): ${difference.why}`);
  if (result.version !== version) lines.push(`this is sansmq ${version}, whose output may differ`);
  return lines;
}
