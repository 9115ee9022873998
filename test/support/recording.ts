/** Recordings in memory, and their replay at the end of a test. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { type BrokerOptions, createBroker } from "../../adapters/node/mod.ts";
import type { Recorder, RecordOptions, Replay, ReplayOptions } from "../../adapters/record/mod.ts";
import { recorder, replay } from "../../adapters/record/mod.ts";
import type { RecordingBroker } from "../../adapters/record/recording-broker.ts";
import { concat } from "./packets.ts";

/** A recording in memory. */
export class Recording implements RecordOptions {
  readonly #pieces: Uint8Array[] = [];
  readonly ends: string[] = [];
  readonly payloads: boolean;
  readonly bytesMax: number;
  /** Whether the recording ends with the test. */
  readonly endsInOrder: boolean = true;
  readonly sink = {
    write: (bytes: Uint8Array): void => void this.#pieces.push(bytes.slice()),
  };

  constructor({ payloads = true, bytesMax = 2 ** 30 }: Partial<RecordOptions> = {}) {
    this.payloads = payloads;
    this.bytesMax = bytesMax;
  }

  handleEnd({ cause }: { cause: string }): void {
    this.ends.push(cause);
  }

  /** The option `record` of a broker that is recorded here. */
  get recorder(): Recorder {
    const { sink, bytesMax, payloads } = this;
    return recorder({ sink, bytesMax, payloads, handleEnd: (end) => this.handleEnd(end) });
  }

  get bytes(): Uint8Array {
    return concat(...this.#pieces);
  }

  /** Replays the recording, and expects the same output to its end. */
  replays(options: ReplayOptions = {}): Replay {
    const result = replay(this.bytes, options);
    expect(result.difference).toBe(null);
    return result;
  }
}

/** With `SANSMQ_RECORD=1`, every broker in memory is recorded and replayed; with `0`, without payloads. */
export function recordingOfEveryTest(): Recording | null {
  const wanted = process.env["SANSMQ_RECORD"];
  return wanted === undefined ? null : new Recording({ payloads: wanted !== "0" });
}

/**
 * With `SANSMQ_RECORDINGS=DIR`, every recording is written to that folder. After a refactoring,
 * `node test/support/replay-recordings.mjs DIR` replays the recordings on the new code, whose output must be the same.
 */
function keepRecording({ bytes }: Recording): void {
  const folder = process.env["SANSMQ_RECORDINGS"];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${process.pid}-${++keptCount}.record`), bytes);
}

let keptCount = 0;

/** At the end of the test, ends a recording and replays it. */
export function replayWhenFinished(recording: Recording, broker: RecordingBroker): void {
  onTestFinished(() => {
    broker.endRecording();
    if (!recording.endsInOrder) return;
    keepRecording(recording);
    const { end, hash } = recording.replays();
    expect(end).toEqual({ cause: "closed", hash });
  });
}

/** A broker with sockets on a free port; its run is replayed at the end of the test. */
export async function startRecorded(options: BrokerOptions) {
  const recording = new Recording();
  const broker = await createBroker({ ...options, record: recording.recorder });
  onTestFinished(async () => {
    await broker.close(100);
    const { end, hash, steps } = recording.replays();
    expect(steps).toBeGreaterThan(0);
    expect(end).toEqual({ cause: "closed", hash });
  });
  return broker;
}
