/** A damaged recording is reported as damaged, or replays up to a difference: no other error is thrown. */
import { expect, test } from "vitest";
import { RecordingError, replay } from "../../adapters/record/mod.ts";
import type { RecordingBroker } from "../../adapters/record/recording-broker.ts";
import { Verdict } from "../../core/mod.ts";
import { TestBroker } from "../support/broker.ts";
import { connect, publish, subscribe } from "../support/packets.ts";
import { Random } from "../support/random.ts";
import { Recording } from "../support/recording.ts";

/** A recording that ends before its broker. */
class Cut extends Recording {
  override readonly endsInOrder = false;
}

/** A short run with an entry of every kind, so that damage is found everywhere. */
function recorded(): Uint8Array {
  const recording = new Cut();
  const world = new TestBroker({
    record: recording,
    durable: "at once",
    limits: { sysMillis: 1000 },
    policy: {
      authenticate: () => Verdict.Pending,
      publish: (_, topic) => (topic === "no" ? Verdict.Deny : Verdict.Allow),
    },
  });
  const broker = world.broker as RecordingBroker;
  const client = world.open().send(connect({ clientId: "c", clean: false }));
  broker.handleDecision(client.conn, { kind: "allow", principal: "c" }, world.now);
  world.drain();
  client.send(subscribe(1, ["a/#", 2]), publish("no", "x"), publish("a/b", "x", { qos: 1 }));
  const properties = {
    MessageExpiryInterval: 9,
    CorrelationData: Uint8Array.of(1, 2),
    UserProperty: [["k", "v"]] as const,
  };
  const payload = Uint8Array.of(0x78);
  broker.handleCommand(
    { kind: "publish", topic: "a/own", payload, qos: 1, retain: true, properties },
    world.now,
  );
  client.writable(false);
  client.writable(true);
  broker.handleCommand({ kind: "observe", publishes: true }, world.now);
  world.advance(3000);
  broker.handleClock(1_800_000_000_000, world.now);
  broker.handleCommand({ kind: "move", reference: "there", isForGood: false }, world.now);
  broker.handleCommand({ kind: "kick", clientId: "c", reason: 0x98 }, world.now);
  world.events();
  client.cut();
  broker.handleCommand({ kind: "shutdown" }, world.now);
  broker.endRecording();
  recording.replays();
  return recording.bytes;
}

function headerEnd(recording: Uint8Array): number {
  return 12 + new DataView(recording.buffer, recording.byteOffset).getUint32(8, true);
}

/** The outcome of a replay: a word, or an unexpected error. */
function outcome(bytes: Uint8Array): unknown {
  try {
    const { difference } = replay(bytes);
    return difference === null ? "the same" : "differs";
  } catch (error) {
    return error instanceof RecordingError ? "told" : error;
  }
}

test.each(Array.from({ length: 4 }, (_, n) => n + 1))(
  "a recording with random changes is reported or replays to a difference, seed %i",
  (seed) => {
    const random = new Random(seed);
    const whole = recorded();
    for (let n = 0; n < 100; n++) {
      const bytes = whole.slice(0, random.chance(8) ? random.below(whole.length) : whole.length);
      for (let count = 1 + random.below(3); count > 0; count--) {
        // A third of the changes may be in the header, and half of them change a single bit.
        const from = random.chance(3) ? 0 : headerEnd(whole);
        const at = from + random.below(Math.max(1, bytes.length - from));
        bytes[at] = random.chance(2) ? random.below(256) : bytes[at]! ^ (1 << random.below(8));
      }
      expect(["the same", "differs", "told"], `seed ${seed}, recording ${n}`).toContain(
        outcome(bytes),
      );
    }
  },
);

test("any changed name in the header is reported as damage", () => {
  const whole = recorded();
  const text = Buffer.from(whole.subarray(0, headerEnd(whole))).toString("latin1");
  const names = Array.from(text.matchAll(/"(\w+)":/g), (match) => match.index + 2);
  expect(names.length).toBeGreaterThan(40);
  for (const at of names) {
    const bytes = whole.slice();
    bytes[at] = 0x58;
    expect(() => replay(bytes), text.slice(at - 2, at + 20)).toThrow(RecordingError);
  }
});
