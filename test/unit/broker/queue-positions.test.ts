// The positions of queued messages are numbers of 32 bits in the store. What happens behind the last one.
import { expect, test } from "vitest";
import { POSITION_FIRST, POSITION_MAX, Table } from "../../../core/mod.ts";
import { TestBroker, type TestBrokerOptions } from "../../support/broker.ts";
import { connect, puback, publish, subscribe } from "../../support/packets.ts";

const kept = (clientId: string) => connect({ clientId, clean: false });

/**
 * A broker whose kept session `reader` is away and has one queued message, "0", at this position, as
 * after very many messages.
 */
function withQueueAt(position: number, options: Partial<TestBrokerOptions> = {}) {
  const world = new TestBroker({ durable: "at once", ...options });
  for (const clientId of ["reader", "other"]) {
    const client = world.open();
    client.send(kept(clientId), subscribe(1, [clientId === "reader" ? "t" : "first", 1]));
    client.cut();
  }
  const writer = world.connected("writer");
  writer.send(publish("first", "0", { qos: 1, id: 1 }));
  world.broker.inspect(({ messages, sessions }) => {
    let message = 1;
    while (messages.serial(message) !== messages.lastSerial) message++;
    const { record, outbox } = sessions.find("reader")!;
    record!.putQueued(position >>> 0, message, 1, null);
    outbox.restoreQueued(position, message, 1, null);
  });
  let id = 1;
  const publishes = (...payloads: readonly string[]): void => {
    for (const payload of payloads) writer.send(publish("t", payload, { qos: 1, id: ++id }));
    writer.takes();
  };
  return { world, publishes };
}

/** The positions of the queued messages of `reader`, in the order of the store. */
function positions({ store }: TestBroker): number[] {
  const prefix = `${Table.Queue}/0000000101`;
  const keys = [...store.keys()].filter((key) => key.startsWith(prefix)).sort();
  return keys.map((key) => Number.parseInt(key.slice(prefix.length), 16));
}

function resumed(world: TestBroker) {
  const reader = world.open();
  reader.send(kept("reader"));
  expect(reader.takes(1)).toEqual(["CONNACK present=1 code=0"]);
  return reader;
}

const payloadsOf = (packets: readonly string[]): string[] =>
  packets.map((packet) => JSON.parse(packet.split(" ")[2]!) as string);

test("a queue that goes on behind the last position keeps its order over crashes", () => {
  const { world, publishes } = withQueueAt(0xffff_fffe);
  publishes("1", "2", "3");
  expect(positions(world)).toEqual([0, 1, 0xffff_fffe, 0xffff_ffff]);
  const after = world.crash();
  // It has room again, in the store too.
  expect(positions(after)).toEqual([0, 1, 2, 3].map((n) => POSITION_FIRST + n));
  const writer = after.connected("writer");
  writer.send(publish("t", "4", { qos: 1, id: 1 }));
  const again = after.crash();
  const reader = resumed(again);
  expect(payloadsOf(reader.takes())).toEqual(["0", "1", "2", "3", "4"]);
  reader.send(...[1, 2, 3, 4, 5].map((id) => puback(id)));
  // Only the message of the other session is left.
  expect([again.records(Table.Queue), again.records(Table.Message)]).toEqual([1, 1]);
});

test("a queue that goes on behind the last position is delivered and removed in order without a crash", () => {
  const { world, publishes } = withQueueAt(0xffff_fffe, { limits: { inflightMax: 2 } });
  publishes("1", "2", "3");
  const reader = resumed(world);
  expect(payloadsOf(reader.takes())).toEqual(["0", "1"]);
  expect(positions(world)).toEqual([0, 1]);
  reader.send(puback(1));
  expect(payloadsOf(reader.takes())).toEqual(["2"]);
  // "3" leaves the queue, cannot be sent, and goes back to its position.
  reader.writable(false);
  reader.send(puback(2));
  reader.cut();
  expect(positions(world)).toEqual([1]);
  const after = world.crash();
  const next = resumed(after);
  expect(payloadsOf(next.takes())).toEqual(["2", "3"]);
});

test("an empty queue behind the largest position of a sound store begins anew", () => {
  const { world, publishes } = withQueueAt(POSITION_MAX + 1);
  publishes("1");
  expect(positions(world)).toEqual([POSITION_MAX + 1, POSITION_MAX + 2]);
  const reader = resumed(world);
  expect(payloadsOf(reader.takes())).toEqual(["0", "1"]);
  reader.send(puback(1), puback(2));
  reader.cut();
  publishes("2", "3");
  expect(positions(world)).toEqual([POSITION_FIRST, POSITION_FIRST + 1]);
  const next = resumed(world);
  expect(payloadsOf(next.takes())).toEqual(["2", "3"]);
  next.send(puback(3), puback(4));
  expect(positions(world)).toEqual([]);
});
