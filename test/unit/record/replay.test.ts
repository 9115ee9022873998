import { describe, expect, test } from "vitest";
import { replay } from "../../../adapters/record/mod.ts";
import { RecordingBroker } from "../../../adapters/record/recording-broker.ts";
import type { Seq } from "../../../core/mod.ts";
import {
  Broker,
  ConfigError,
  EffectKind,
  inspect,
  Reason,
  Table,
  Verdict,
} from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { fire } from "../../fuzz/mutator.ts";
import { TestBroker, type TestBrokerOptions } from "../../support/broker.ts";
import { auth, concat, mqtt5, puback, publish, pubrec, subscribe } from "../../support/packets.ts";
import { Recording } from "../../support/recording.ts";

/** A recorded broker, whose recording is replayed to its end when the test is over. */
function recorded(options: TestBrokerOptions = {}, recording = new Recording()) {
  const world = new TestBroker({ ...options, record: recording });
  return { world, recording, broker: world.broker as RecordingBroker };
}

/** A run with every QoS, a will, a takeover, passing time, and a reader that takes no bytes. */
function liveAWhile(world: TestBroker): void {
  const reader = world.connected({ clientId: "reader", clean: false });
  reader.subscribes(1, ["a/#", 2], ["$SYS/#", 0]);
  const writer = world.connected({
    clientId: "writer",
    will: { topic: "a/will", payload: "hush, gone", qos: 1 },
    username: "ada",
    password: "secret",
  });
  for (const qos of [0, 1, 2] as const) {
    writer.publishes("a/b", `hush ${qos}`, { qos, id: qos, retain: qos === 1 });
  }
  reader.send(puback(1), pubrec(2));
  reader.writable(false);
  const long = publish("a/long", new Uint8Array(80_000).fill(0x61), { qos: 1, id: 9 });
  writer.send(long.subarray(0, 3), long.subarray(3, 70_000), long.subarray(70_000));
  world.advance(3000);
  reader.writable(true);
  world.broker.handleCommand(
    { kind: "publish", topic: "a/own", payload: Buffer.from("hush"), qos: 1, retain: false },
    world.now,
  );
  world.broker.handleCommand({ kind: "kick", clientId: "nobody", reason: 0x98 }, world.now);
  world.broker.handleClock(1_800_000_000_000.5, world.now);
  writer.cut();
  world.open().connects({ clientId: "reader", clean: false });
  world.connected("half").subscribes(1, ["a/#", 0]).halfCloses();
  world.events();
  world.advance(100_000);
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

test.each([true, false])(
  "a recording of a broker that recovered begins with the records that it recovered (payloads: %s)",
  (payloads) => {
    const world = new TestBroker({ durable: "at once" });
    liveAWhile(world);
    const recording = new Recording({ payloads });
    const after = world.crash(1000, { record: recording });
    expect(after.recovered!.recovered[Table.Session]).toBe(1);
    const reader = after.connected({ clientId: "reader", clean: false });
    after.connected("writer").publishes("a/b", "hush", { qos: 1, id: 1 });
    reader.takes();
    after.advance(2000);
    expect(textOf(recording.bytes).includes("hush")).toBe(payloads);
    // The end of the test replays it.
  },
);

test("a flood of refusals polled in parts replays to the same events", () => {
  const { world, broker } = recorded({ policy: { publish: () => Verdict.Deny } });
  const client = world.connected("c");
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 300; n++) client.publishes("no", "x");
    expect(world.events().filter(({ kind }) => kind === "denied")).toHaveLength(256);
  }
  broker.endRecording();
});

describe("a replay sends the recorded output byte for byte", () => {
  test.each([undefined, "at once"] as const)("with store: %s", (durable) => {
    const { world, recording, broker } = recorded({
      limits: { sysMillis: 1000 },
      ...(durable === undefined ? {} : { durable }),
    });
    liveAWhile(world);
    broker.handleDecision(1 as never, { kind: "allow" }, world.now);
    broker.endRecording();
    const { end, hash, outputBytes, covers, state } = recording.replays();
    expect(covers).toBe("bytes");
    expect(end).toEqual({ cause: "closed", hash });
    expect(outputBytes).toBe(world.count("bytesSent"));
    expect(state).toEqual(inspect(broker));
  });

  test("with rules for durability, and a store that was full for a while", () => {
    const durability = [{ filter: "fast/#", acknowledge: "received" }] as const;
    const { world, recording, broker } = recorded({ durable: "when told", durability });
    const reader = world.open().connects({ clientId: "reader", clean: false });
    world.commit();
    reader.subscribes(1, ["#", 2]);
    world.commit();
    const writer = world.connected("writer");
    writer.publishes("fast/a", "1", { qos: 2, id: 1 });
    expect(writer.takes()).toEqual(["PUBREC #1"]);
    writer.publishes("slow/a", "2", { qos: 1, id: 2 });
    world.refuseCommit();
    writer.publishes("fast/a", "3", { qos: 1, id: 3 });
    world.connected("clean").publishes("fast/a", "4", { qos: 1, id: 1 });
    world.commitRefused();
    expect(writer.takes()).toEqual(["PUBACK #2", "PUBACK #3"]);
    broker.endRecording();
    const { end, hash, state } = recording.replays();
    expect(end).toEqual({ cause: "closed", hash });
    expect(state).toEqual(inspect(broker));
  });

  test("with denied and pending decisions, and with assigned client identifiers", () => {
    const answers = [Verdict.Deny, Verdict.Allow, Verdict.Pending];
    const { world } = recorded({
      policy: {
        authenticate: ({ username }) => answers[Number(username)]!,
        publish: (_, topic) => answers[topic.length % 3]!,
        subscribe: (_, filter) => answers[filter.length % 3]!,
      },
    });
    const decide = (): void => {
      for (const request of world.requests.splice(0)) {
        const { conn, kind } = request;
        const reasons = kind === "subscribe" ? request.filters.map(() => 0 as const) : [];
        const decision = kind === "subscribe" ? { kind: "filters", reasons } : { kind: "allow" };
        world.broker.handleDecision(conn, decision as never, world.now);
        world.drain();
      }
    };
    for (const username of ["0", "1", "2"]) {
      const client = world.open().connects({ clientId: "", username, password: "x" });
      decide();
      for (const [id, topic] of ["abc", "d", "ef"].entries()) {
        client.send(concat(subscribe(id + 1, [topic, 1], ["d", 0]), publish(topic, topic)));
        decide();
        client.send(
          concat(...Array.from({ length: 9 }, (_, n) => publish("x".repeat(n + 1), "x"))),
        );
        decide();
      }
    }
    expect(world.count("connectsAccepted")).toBe(2);
    expect(world.count("publishesDenied")).toBeGreaterThan(0);
  });

  test("with a store that fails for a while, and then permanently", () => {
    const { world } = recorded({ durable: "when told" });
    const client = world.open().connects({ clientId: "c", clean: false });
    world.commit();
    client.send(concat(subscribe(1, ["a", 1]), publish("a", "x", { qos: 1, id: 4 })));
    world.broker.handleCommitFailure(1000 as never, true, world.now);
    world.commit();
    client.publishes("a", "y", { qos: 1, id: 5 });
    world.broker.handleCommitFailure(1000 as never, false, world.now);
    world.open().connects({ clientId: "late" });
  });

  test.each([1, 2])("under random traffic, seed %i, with payloads and without", (seed) => {
    // Days pass at the end of the traffic; their timeouts are replayed too.
    const limits = { sysMillis: 3_600_000 };
    fire(seed, 300, { limits, record: new Recording() });
    fire(seed, 300, { limits, record: new Recording({ payloads: false }) });
  });
});

describe("a recording leaves out", () => {
  test("passwords always, and payloads on request; the replay is the same", () => {
    for (const payloads of [true, false]) {
      const { world, recording, broker } = recorded(
        { durable: "at once" },
        new Recording({ payloads }),
      );
      liveAWhile(world);
      broker.endRecording();
      const text = textOf(recording.bytes);
      expect(text).not.toContain("secret");
      expect(/hush|aaaaaaa/.test(text)).toBe(payloads);
      expect(recording.replays().covers).toBe(payloads ? "bytes" : "lengths");
    }
  });

  test("the data exchanged in enhanced authentication", () => {
    const { world, recording, broker } = recorded({
      policy: { authenticate: () => Verdict.Pending },
    });
    const says = (text: string) => ({
      AuthenticationMethod: "M",
      AuthenticationData: Buffer.from(text),
    });
    const client = world.open();
    client.connects({ level: 5, clientId: "c", props: says("hush 1") });
    const challenge = { kind: "challenge", data: Buffer.from("hush 2") } as const;
    broker.handleDecision(client.conn, challenge, world.now);
    world.drain();
    client.send(auth(0x18, says("hush 3")));
    broker.handleDecision(client.conn, { kind: "allow", data: Buffer.from("hush 4") }, world.now);
    world.drain();
    expect(textOf(client.takesBytes())).toMatch(/hush 2.*hush 4/s);
    broker.endRecording();
    expect(textOf(recording.bytes)).not.toContain("hush");
    expect(recording.replays().state.connections).toMatchObject([{ clientId: "c" }]);
  });

  test("payloads, but a replay still refuses a payload that declares UTF-8 and is invalid UTF-8", () => {
    const { world } = recorded(
      { limits: { payloadFormatCheck: 1 } },
      new Recording({ payloads: false }),
    );
    const client = world.open().connects({ level: 5, clientId: "c" });
    const props = { PayloadFormatIndicator: 1 };
    const payload = Uint8Array.of(0x61, 0xc3, 0x28, 0x61);
    client.takesBytes();
    client.send(wire.publish(5, { topic: "a", payload, qos: 1, id: 1, props } as never));
    expect(wire.firstPacket(client.takesBytes(), 5)).toMatchObject({
      type: "PUBACK",
      reason: Reason.PayloadFormatInvalid,
    });
  });
});

test("records every input that changes the broker", () => {
  const asked = Object.getOwnPropertyNames(Broker.prototype).filter((name) =>
    /^(handle|poll)/.test(name),
  );
  const isRecorded = (name: string): boolean => Object.hasOwn(RecordingBroker.prototype, name);
  // pollTimeout does not change the broker, and is not recorded.
  expect(asked.filter((name) => !isRecorded(name))).toEqual(["pollTimeout"]);
});

describe("a recording without a regular end", () => {
  test("is replayed up to its last complete step, wherever the file is cut", () => {
    const { world, recording, broker } = recorded({ limits: { sysMillis: 1000 } });
    liveAWhile(world);
    broker.endRecording();
    const { bytes } = recording;
    const { steps } = recording.replays();
    let last = 0;
    for (let length = 12; length < bytes.length; length += stride(bytes, length)) {
      if (length < headerEnd(bytes)) {
        expect(() => replay(bytes.subarray(0, length))).toThrow(/ends within its header/);
        continue;
      }
      const torn = replay(bytes.subarray(0, length));
      expect([torn.difference, torn.end?.cause]).toEqual([null, "torn"]);
      expect(torn.steps).toBeGreaterThanOrEqual(last);
      last = torn.steps;
    }
    expect(last).toBeLessThan(steps);
    expect(last).toBeGreaterThan(10);
  });

  test("ends with a notice at its size limit, and the broker goes on", async () => {
    const { world, recording } = recorded({}, new Cut({ bytesMax: 2 ** 20 }));
    const client = world.connected();
    client.subscribes(1, ["a", 0]);
    for (let n = 0; n < 200; n++) client.publishes("a", new Uint8Array(10_000));
    expect(client.takes()).toHaveLength(201);
    await Promise.resolve();
    expect(recording.ends).toEqual(["full"]);
    expect(recording.bytes.length).toBeLessThanOrEqual(2 ** 20);
    expect(recording.bytes.length).toBeGreaterThan(2 ** 20 - 100_000);
    const { end, hash } = recording.replays();
    expect(end).toEqual({ cause: "full", hash });
  });

  test("ends with a notice if its sink fails, and the broker goes on", async () => {
    const recording = new Cut();
    let writes = 0;
    const { write } = recording.sink;
    recording.sink.write = (bytes) => {
      if (++writes > 2) throw new Error("no space left");
      write(bytes);
    };
    const { world } = recorded({}, recording);
    const client = world.connected();
    client.subscribes(1, ["a", 0]);
    for (let n = 0; n < 100; n++) client.publishes("a", new Uint8Array(10_000));
    expect(client.takes()).toHaveLength(101);
    await Promise.resolve();
    expect(recording.ends).toEqual(["failed"]);
    expect(recording.replays().end?.cause).toBe("torn");
  });

  test("an invalid size limit is a ConfigError", () => {
    expect(() => new TestBroker({ record: new Recording({ bytesMax: 10 }) })).toThrow(ConfigError);
  });
});

/** A recording that ends before its broker. */
class Cut extends Recording {
  override readonly endsInOrder = false;
}

/** Places to cut: every byte for a while after the header, and some beyond. */
function stride(bytes: Uint8Array, length: number): number {
  const begun = length - headerEnd(bytes);
  return begun > -3 && begun < 150 ? 1 : begun < 0 ? Math.min(97, -begun) : 1777;
}

function headerEnd(bytes: Uint8Array): number {
  return 12 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
}

test("a replay repeats the policy's Reason String", () => {
  const { world } = recorded({
    policy: {
      authenticate: ({ clientId }) => (clientId === "busy" ? Reason.ServerBusy : Verdict.Allow),
      publish: (_, topic) => (topic === "full" ? Reason.QuotaExceeded : Verdict.Pending),
    },
  });
  world.open().connects({ level: 5, clientId: "busy" });
  const client = world.open().connects({ level: 5, clientId: "c" });
  client.send(mqtt5.publish("full", "", { qos: 1 }), mqtt5.publish("t", "", { qos: 1 }));
  const decision = { kind: "deny", reason: Reason.QuotaExceeded, reasonString: "enough" } as const;
  world.decide(client, decision);
  // The replay after the test compares every byte.
  expect(client.takesBytes().length).toBeGreaterThan(20);
});

describe("a replay reports", () => {
  test("where the output differs, and why", () => {
    const { world, recording, broker } = recorded();
    const client = world.connected({ clientId: "c" });
    client.send(concat(subscribe(1, ["a", 0]), publish("a", "hello")));
    broker.endRecording();
    const bytes = recording.bytes.slice();
    bytes[textOf(bytes).indexOf("hello")] = 0x48;
    const { difference, end } = replay(bytes);
    expect(difference).toMatchObject({ what: "send, 65536 bytes of room", why: /output differs/ });
    expect(end).toBe(null);
    // One byte less in the recorded output: the replay differs there.
    const other = recording.bytes.slice();
    other[textOf(other).indexOf("hello") - 1] = 0x62;
    expect(replay(other).difference?.why).toBe("the output differs");
  });

  test("an exception of the broker, and at which step", () => {
    const { world, recording, broker } = recorded({}, new Cut());
    world.connected({ clientId: "c" });
    world.advance(50);
    const committed = 0 as Seq;
    const commit = (): void => broker.handleCommitFailure(committed, false, world.now);
    expect(commit).toThrow("a committed write does not fail");
    broker.endRecording();
    const { difference, steps } = replay(recording.bytes);
    expect(difference).toEqual({
      step: steps,
      what: "commitfailure",
      why: "the broker threw: assertion failed: a committed write does not fail",
    });
  });

  test("the broker's state after any step", () => {
    const { world, recording, broker } = recorded();
    liveAWhile(world);
    broker.endRecording();
    const { steps } = recording.replays();
    const clients = new Set<number>();
    for (let until = 0; until <= steps; until++) {
      const at = recording.replays({ until });
      expect(at.steps).toBe(until);
      expect(at.end === null).toBe(until < steps);
      clients.add(at.state.sessions.length);
    }
    expect([...clients].sort()).toEqual([0, 1, 2]);
    expect(JSON.parse(JSON.stringify(recording.replays().state))).toMatchObject({
      sessions: [{ clientId: "reader", subscriptions: [{ filter: "a/#", qos: 2 }, {}] }],
    });
  });

  test("a file that is not a recording, or is damaged", () => {
    const { world, recording, broker } = recorded();
    world.connected();
    broker.endRecording();
    const { bytes } = recording;
    const changed = (at: number, byte: number): Uint8Array => {
      const copy = bytes.slice();
      copy[at] = byte;
      return copy;
    };
    expect(() => replay(new Uint8Array(0))).toThrow("not a recording of sansmq");
    expect(() => replay(Buffer.from("{}"))).toThrow("not a recording of sansmq");
    expect(() => replay(changed(7, 9))).toThrow("a recording of format 9; this reads format 1");
    expect(() => replay(changed(12, 0x5b))).toThrow("header is damaged");
    expect(() => replay(changed(headerEnd(bytes), 0x77))).toThrow("an unknown entry 119");
    const codec = textOf(bytes).indexOf('"seed":', 12);
    expect(codec).toBeGreaterThan(0);
    const name = textOf(bytes).indexOf('"name":"') + 8;
    expect(() => replay(changed(name, 0x7a))).toThrow("an unknown codec");
  });
});

test("a Close or Abort effect that differs", () => {
  const { world, broker } = recorded();
  const client = world.open().send(Uint8Array.of(0xf0, 0));
  expect(client.ended).not.toBe(EffectKind.None);
  expect(inspect(broker).connections).toEqual([]);
});
