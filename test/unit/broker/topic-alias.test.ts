/** Topic aliases, in both directions. */
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { payloadIn } from "../../support/packets.ts";

/** Alias and topic name of each message to `topics` that a 5.0 subscriber with Topic Alias Maximum `max` receives. */
function aliasesOf(
  topics: readonly string[],
  max: number,
  topicAliasOutMax = 64,
): [number | undefined, string][] {
  const world = new TestBroker({ limits: { topicAliasOutMax } });
  const reader = world.connected({ level: 5, clientId: "r", props: { TopicAliasMaximum: max } });
  reader.subscribes(1, ["#", 0]).takes();
  const publisher = world.connected("p");
  for (const topic of topics) publisher.publishes(topic);
  return reader.takes().map(aliasIn);
}

/** The alias and the topic name in the line of a PUBLISH. */
function aliasIn(line: string): [number | undefined, string] {
  const [, topic = ""] = line.split(" ");
  const alias = / TopicAlias=(\d+)/.exec(line)?.[1];
  return [alias === undefined ? undefined : Number(alias), topic === '""' ? "" : topic];
}

test("topic aliases replace topic names towards a subscriber, also after the topic table is emptied", () => {
  const world = new TestBroker({ limits: { topicTableBytesMax: 65_536 } });
  const reader = world.connected({ level: 5, props: { TopicAliasMaximum: 4 } });
  reader.subscribes(1, ["#", 0]).takes();
  const publisher = world.connected("p");
  const long = "a/rather/long/topic/name";
  const known = new Map<number, string>();
  let shortened = 0;
  for (let n = 0; n < 2000; n++) {
    publisher.publishes(long, `${n}`);
    publisher.publishes(`${long}/${n}`);
    for (const line of reader.takes()) {
      const [alias, name] = aliasIn(line);
      if (name !== "" && alias !== undefined) known.set(alias, name);
      const topic = name === "" ? known.get(alias!) : name;
      if (name === "") shortened++;
      expect(topic).toBe(payloadIn(line) === "" ? `${long}/${n}` : long);
    }
  }
  expect(shortened).toBeGreaterThan(1500);
});

test("topic aliases of a publisher count in inputBytes until its connection ends", () => {
  const world = new TestBroker();
  const client = world.connected({ level: 5 });
  for (let TopicAlias = 1; TopicAlias <= 32; TopicAlias++) {
    client.publishes(`${"x".repeat(1000)}${TopicAlias}`, "", { props: { TopicAlias } });
  }
  expect(world.count("inputBytes")).toBeGreaterThan(32_000);
  client.cut();
  expect(world.count("inputBytes")).toBe(0);
});

test("topic aliases towards a subscriber stay within topicAliasOutMax", () => {
  const topics = Array.from({ length: 40 }, (_, n) => `a/long/topic/name/${Math.floor(n / 4)}`);
  const aliases = aliasesOf(topics, 100, 2).map(([alias]) => alias);
  expect(new Set(aliases)).toEqual(new Set([undefined, 1, 2]));
});

test("the first message of a topic sets its alias, and the second leaves the name out", () => {
  expect(aliasesOf(["topicA", "topicA", "topicA"], 1)).toEqual([
    [1, "topicA"],
    [1, ""],
    [1, ""],
  ]);
  // Three bytes in each packet are more than a short name is worth.
  expect(aliasesOf(["short", "short"], 1)).toEqual(Array(2).fill([undefined, "short"]));
});

test("topics in turn get an alias each while aliases are free", () => {
  const topics = Array.from({ length: 32 }, (_, n) => `topic/${n}`);
  const sent = aliasesOf([...topics, ...topics], 64);
  expect(new Set(sent.slice(0, 32).map(([alias]) => alias)).size).toBe(32);
  expect(sent.slice(32)).toEqual(sent.slice(0, 32).map(([alias]) => [alias, ""]));
});

test("when all aliases are taken, topics in turn replace none, and a topic in succession takes one over", () => {
  const topics = Array.from({ length: 30 }, (_, n) => `topic/${n}`);
  const sent = aliasesOf([...topics, ...topics, ...topics], 4);
  const named = sent.slice(0, 30).filter(([alias]) => alias !== undefined);
  expect(named.length).toBe(4);
  for (const round of [sent.slice(30, 60), sent.slice(60)]) {
    expect(round.filter(([, name]) => name === "")).toEqual(named.map(([alias]) => [alias, ""]));
    expect(round.filter(([alias]) => alias === undefined)).toHaveLength(26);
  }
  const again = aliasesOf([...topics, ...Array(4).fill("topic/29")], 4).slice(30);
  expect(again[0]).toEqual([expect.any(Number), "topic/29"]);
  expect(again.slice(1)).toEqual(Array(3).fill([again[0]![0], ""]));
});
