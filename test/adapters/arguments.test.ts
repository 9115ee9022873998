/** Invalid arguments of a JavaScript program: the error has the field, its value and the allowed values. */
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { createBareBroker, createLocalBroker, type LocalClient } from "../../adapters/local/mod.ts";
import { createBroker } from "../../adapters/node/mod.ts";
import { type RecordOptions, recorder, replay } from "../../adapters/record/mod.ts";
import { createTestBroker, type FaultOptions, Faults } from "../../adapters/testing/mod.ts";
import { Recording } from "../support/recording.ts";

/** Any arguments, because the types would not allow these. */
// biome-ignore lint/suspicious/noExplicitAny: the test uses arguments that the types forbid.
type Loose = Record<string, (...args: any[]) => any>;

const numbers = new Uint16Array([1, 2]);

/** Invalid arguments of `publish`, of a broker and of a client, by the field that the error names. */
const publishes: Record<string, unknown[][]> = {
  topic: [[], [undefined, "p"], [5, "p"], ["", "p"], ["a/#", "p"], ["a\0", "p"], [["a"], "p"]],
  payload: [["t"], ["t", 5], ["t", null], ["t", { length: 1 }], ["t", numbers], ["t", [1]]],
  options: [
    ["t", "p", null],
    ["t", "p", 1],
    ["t", "p", []],
  ],
  qos: [3, "1", null, Number.NaN, 0.5].map((qos) => ["t", "p", { qos }]),
  retain: [1, "yes", null].map((retain) => ["t", "p", { retain }]),
  properties: [
    ...[null, 5, [], new Map(), { TopicAlias: 1 }, { SubscriptionIdentifier: 1 }],
    { UserProperty: Array.from({ length: 20 }, () => ["k", "v".repeat(60_000)]) },
  ].map((properties) => ["t", "p", { properties }]),
  "properties.contentType": property("contentType", "text/plain", undefined),
  Qos: [["t", "p", { Qos: 1 }]],
  "properties.PayloadFormatIndicator": property("PayloadFormatIndicator", 2, "1", true, null),
  "properties.MessageExpiryInterval": property(
    "MessageExpiryInterval",
    ...[1e12, Number.POSITIVE_INFINITY, -1, 1.5, "1", [1]],
  ),
  "properties.ContentType": property("ContentType", 5, null, "\0", "x".repeat(65_536), {}),
  "properties.ResponseTopic": property("ResponseTopic", "a/+", "#", "", 5),
  "properties.CorrelationData": property(
    "CorrelationData",
    ...["x", numbers, numbers.buffer, { $bytes: "00" }, new Uint8Array(65_536), [1]],
  ),
  "properties.UserProperty": property(
    "UserProperty",
    ...[{ a: 1 }, new Map([["a", "b"]]), "ab", [["a"]], [["a", 1]], [["a", "b", "c"]], ["ab"]],
    ...[[["a", "\0"]], Object.create(null)],
  ),
};

function property(name: string, ...values: unknown[]): unknown[][] {
  return values.map((value) => ["t", "p", { properties: { [name]: value } }]);
}

/** The reason of a rejection, or the thrown exception. */
async function fault(ask: () => unknown): Promise<unknown> {
  try {
    await ask();
  } catch (error) {
    return error;
  }
  return null;
}

async function expectFaults(asked: object, method: string, wrong: Record<string, unknown[][]>) {
  for (const [field, calls] of Object.entries(wrong)) {
    for (const [n, args] of calls.entries()) {
      const error = await fault(() => (asked as Loose)[method]!(...args));
      expect(error, `${method}, ${field}, ${n}`).toMatchObject({ name: "ConfigError", field });
    }
  }
}

test("the broker, which continues and records none of them", async () => {
  const recording = new Recording();
  const broker = createLocalBroker({ record: recording.recorder });
  const steps = (): number => {
    broker.endRecording();
    return recording.replays().steps;
  };
  await expectFaults(broker, "publish", publishes);
  await expectFaults(broker, "disconnect", { clientId: [[], [5], ["a\0"], [{}]] });
  await expectFaults(broker, "moveClients", {
    reference: [[], [5], ["a\0"]],
    options: [["there", null]],
    isForGood: [["there", { isForGood: 1 }]],
    forGood: [["there", { forGood: true }]],
  });
  for (const method of ["on", "off"]) {
    await expectFaults(broker, method, {
      kind: [[], ["nothing", () => {}], ["toString", () => {}], [Symbol("x"), () => {}]],
      handler: [["connected"], ["connected", {}]],
    });
  }
  await expectFaults(broker, "close", { graceMillis: [["1"], [-1], [Number.NaN], [2 ** 31]] });
  await broker.close();
  // The recording contains only the shutdown.
  expect(steps()).toBeLessThan(5);
});

test("a client in the process, which stays connected", async () => {
  const broker = createLocalBroker();
  onTestFinished(() => broker.close(100));
  const client = await broker.connect();
  await expectFaults(client, "publish", publishes);
  const options = (name: string, ...values: unknown[]): unknown[][] =>
    values.map((value) => ["a", { [name]: value }]);
  await expectFaults(client, "subscribe", {
    filters: [[], [null], [5], [[]], [[5]], [[""]], ["a/#/b"], [new Set(["a"])]],
    options: [
      ["a", null],
      ["a", 5],
    ],
    handler: [
      ["a", {}, 5],
      ["a", {}, {}],
    ],
    QoS: options("QoS", 1),
    nl: options("nl", true, undefined),
    qos: options("qos", 3, "1"),
    noLocal: options("noLocal", 1),
    retainAsPublished: options("retainAsPublished", "yes"),
    retainHandling: options("retainHandling", 3, "0"),
    subscriptionIdentifier: options("subscriptionIdentifier", 0, "1"),
    "properties.UserProperty": options("userProperty", { a: 1 }, null),
  });
  await expectFaults(client, "unsubscribe", { filters: [[], [5], [[]], ["a#"]] });
  await expectFaults(client, "onMessage", { handler: [[], [5]] });
  await expectFaults(client, "disconnect", {
    options: [[null]],
    reason: [[{ reason: 256 }], [{ reason: "0" }]],
    reasonCode: [[{ reasonCode: 4 }]],
    properties: [[{ properties: null }], [{ properties: { ServerReference: "x" } }]],
    "properties.ReasonString": [[{ properties: { ReasonString: 5 } }]],
  });
  expect((await client.publish("t", "p", { qos: 1 })).reason).toBe(0x10);
});

test("a client that connects", async () => {
  const broker = createLocalBroker();
  onTestFinished(() => broker.close(100));
  const one = (name: string, ...values: unknown[]) => values.map((value) => [{ [name]: value }]);
  const will = (fields: object) => [{ will: { topic: "t", ...fields } }];
  await expectFaults(broker, "connect", {
    options: [[null], [5], ["c"], [new Map([["clientId", "c"]])]],
    clean: one("clean", false),
    user: one("user", "ada"),
    "will.quality": [[{ will: { topic: "t", quality: 1 } }]],
    clientId: one("clientId", 5, null, "\0", "x".repeat(65_536)),
    cleanStart: one("cleanStart", 1),
    keepAliveSeconds: one("keepAliveSeconds", 70_000, "1"),
    sessionExpirySeconds: one("sessionExpirySeconds", -1, "1"),
    receiveMaximum: one("receiveMaximum", 0, "1"),
    username: one("username", 5, null),
    password: one("password", 5, null, new Uint8Array(65_536)),
    queuedMessagesMax: one("queuedMessagesMax", -1, "1"),
    queuedBytesMax: one("queuedBytesMax", "1"),
    properties: one("properties", null, { TopicAlias: 1 }),
    "properties.MaximumPacketSize": one("properties", { MaximumPacketSize: 0 }),
    will: one("will", 5, null, "t"),
    "will.topic": [[{ will: {} }], will({ topic: "a/+" }), will({ topic: 5 })],
    "will.payload": [will({ payload: 5 }), will({ payload: new Uint8Array(65_536) })],
    "will.qos": [will({ qos: 3 })],
    "will.retain": [will({ retain: 1 })],
    "will.delaySeconds": [will({ delaySeconds: "1" })],
    "will.properties": [will({ properties: { WillDelayInterval: 1 } })],
    "will.properties.ContentType": [will({ properties: { ContentType: 1 } })],
  });
  expect(broker.counters.connectionsOpened).toBe(0);
});

const store = { isDurable: false, commit: async () => {}, close: async () => {} };

const rules = [
  { filter: "a/+", acknowledge: "received" },
  { filter: "#", acknowledge: "stored" },
];

/** Invalid options of every broker, by the field that the error names. */
const brokerOptions: Record<string, unknown[]> = {
  // A password of undefined, from an environment variable that is not set, would accept clients without a password.
  users: [
    ...[{ ada: undefined }, { ada: 5 }, null, [["ada", "lovelace"]]],
    ...[new Map([["ada", "lovelace"]]), Promise.resolve({ ada: "lovelace" })],
  ].map((users) => ({ users })),
  options: [null, 5, "x", [], new Map(), Promise.resolve({ users: {} })],
  authenticate: [true, null, "ada"].map((authenticate) => ({ authenticate })),
  authorizePublish: [true, null, {}].map((authorizePublish) => ({ authorizePublish })),
  authorizeSubscribe: [false, null, []].map((authorizeSubscribe) => ({ authorizeSubscribe })),
  allowAnonymous: ["no", 0, null].map((allowAnonymous) => ({ allowAnonymous })),
  methods: [5, null, [], "x"].map((methods) => ({ methods })),
  "methods.x": [5, null, "begin"].map((x) => ({ methods: { x } })),
  "methods.x.begin": [{}, { begin: true }].map((x) => ({ methods: { x } })),
  store: [5, null, [], "memory"].map((store) => ({ store })),
  "store.commit": [{}, { ...store, commit: true }].map((store) => ({ store })),
  "store.close": [{ ...store, close: undefined }].map((store) => ({ store })),
  "store.isDurable": [{ ...store, isDurable: undefined }].map((store) => ({ store })),
  durability: [5, null, {}, "t/#=received"].map((durability) => ({ durability })),
  "durability[0]": [5, null, "t/#"].map((rule) => ({ durability: [rule] })),
  "durability[0].topic": [{ durability: [{ topic: "t", acknowledge: "stored" }] }],
  "durability[2].filter": [undefined, "", "a#", "$share/g/t", 5].map((filter) => ({
    durability: [...rules, { filter, acknowledge: "stored" }],
  })),
  "durability[2].acknowledge": [undefined, null, "never", true].map((acknowledge) => ({
    durability: [...rules, { filter: "t", acknowledge }],
  })),
  limits: [5, null, [], "x"].map((limits) => ({ limits })),
  "limits.nonsense": [{ limits: { nonsense: 1 } }],
  nonsense: [{ nonsense: 1 }, { nonsense: undefined }],
  autenticate: [{ autenticate: () => false }, Object.create({ autenticate: () => false })],
  authorizeForward: [{ authorizeForward: () => null }],
  codec: ["rust", null, 5].map((codec) => ({ codec })),
  responseInformation: [5, null].map((responseInformation) => ({ responseInformation })),
  serverReference: [5, null].map((serverReference) => ({ serverReference })),
  record: [5, null, {}].map((record) => ({ record })),
};

test.each([createBroker, createLocalBroker, createBareBroker, createTestBroker])(
  "a broker's options: $name",
  async (create) => {
    await expectFaults({ create }, "create", mappedAll(brokerOptions));
    // An omitted option may also be undefined, and an object with functions may have any prototype.
    const outer = create === createBroker ? { tcp: false } : {};
    const options = { ...outer, store, methods: { x: Object.assign(() => {}, { begin() {} }) } };
    const names = ["users", "allowAnonymous", "authenticate", "methods", "authorizePublish"];
    names.push("durability");
    names.push("authorizeSubscribe", "limits", "store", "codec", "record", "serverReference");
    const leftOut = Object.fromEntries(names.map((name) => [name, undefined]));
    await (await create({ ...leftOut, ...options } as object)).close();
  },
);

test("addresses to listen on: no recording begins, and a broker that may not listen there is closed", async () => {
  const recording = new Recording();
  const record = recording.recorder;
  await expectFaults({ createBroker }, "createBroker", {
    tcp: [true, null, 1883].map((tcp) => [{ record, tcp }]),
    "tcp.port": ["1883", 65_536].map((port) => [{ record, tcp: { port } }]),
    "tcp.host": [5, "", [], [5], [["::1"]]].map((host) => [{ record, tcp: { host } }]),
    "tcp.hots": [[{ record, tcp: { hots: "0.0.0.0" } }]],
    "tcp.path": [[{ record, tcp: { path: "/mqtt" } }]],
    "ws.paths": [[{ record, tcp: false, ws: { port: 0, paths: "/" } }]],
    ws: [true, null].map((ws) => [{ record, tcp: false, ws }]),
    "ws.path": [5, "mqtt", null, [], "/a*", ["/a", "b"]].map((path) => [
      { record, tcp: false, ws: { port: 0, path } },
    ]),
  });
  await expectFaults({ createBroker }, "createBroker", {
    trustedProxies: [5, "proxy", null, "10.0.0.0/33", ["::1", ""]].map((trustedProxies) => [
      { record, tcp: { port: 0 }, trustedProxies },
    ]),
    trustProxy: [[{ record, tcp: { port: 0 }, trustProxy: true }]],
  });
  expect(recording.bytes).toHaveLength(0);
  let closes = 0;
  const kept = { ...store, close: async () => void closes++ };
  await expectFaults({ createBroker }, "createBroker", {
    host: [[{ store: kept, tcp: { host: "0.0.0.0" } }]],
  });
  expect(closes).toBe(1);
});

test("an HTTP server of the program", async () => {
  const broker = await createBroker({ tcp: false });
  onTestFinished(() => broker.close(100));
  const server = createServer();
  await expectFaults(broker, "attachWebSocket", {
    server: [[], [null], [5], ["http"]],
    "server.on": [[{}], [{ on: true }]],
    options: [null, 5, "/mqtt", []].map((options) => [server, options]),
    path: [5, null, "", "mqtt", [], ["/a", "b"]].map((path) => [server, { path }]),
    url: [[server, { url: "/mqtt" }]],
  });
  expect(server.listeners("upgrade")).toEqual([]);
});

test("faults injected in a test", async () => {
  const broker = createTestBroker();
  onTestFinished(() => broker.close(100));
  const options: Record<string, unknown[]> = {
    foo: [{ foo: 1 }],
    cutAfter: [-1, null, "x", [1], { toBroker: -1 }, { toClient: 1.5 }].map((cutAfter) => ({
      cutAfter,
    })),
    "cutAfter.foo": [{ cutAfter: { foo: 1 } }],
    direction: [{ stall: "x" }, { stall: false }, { stall: null }],
    drop: [5, null, "x", "toString", ["PUBACK", 5], {}].map((drop) => ({ drop })),
    reason: [0, "x", null, false, 256].map((refuse) => ({ refuse })),
  };
  const create = (faults: FaultOptions) => new Faults(faults);
  await expectFaults({ create }, "create", {
    ...mappedAll(options),
    options: [[null], [5], ["x"], [[]]],
  });
  for (const method of ["pipe", "connect"]) {
    await expectFaults(broker, method, {
      ...mappedAll(options, (faults) => [{ faults }]),
      options: [[null], [5], [[]]],
      faults: [5, null, "x", []].map((faults) => [{ faults }]),
    });
  }
  // Rejected by a promise, as with a client's other options.
  const wrong = broker.connect({ faults: 5 as never });
  await expect(wrong).rejects.toMatchObject({ name: "ConfigError", field: "faults" });
  const faults = new Faults();
  await expectFaults(faults, "refuse", {
    options: [[null], [5]],
    reason: [[{ reason: 0 }], [{ reason: null }]],
    count: [[{ count: 0 }], [{ count: null }]],
    reasonCode: [[{ reasonCode: 0x89 }]],
  });
  await expectFaults(faults, "cutAfter", {
    cutAfter: [[1.5, "toBroker"]],
    direction: [[1], [1, "x"]],
  });
  await expectFaults(faults, "drop", {
    drop: [[], [5], ["toString"]],
    options: [["PUBACK", null]],
    direction: [["PUBACK", { direction: null }]],
    count: [["PUBACK", { count: 0.5 }]],
    times: [["PUBACK", { times: 2 }]],
  });
  expect(broker.counters.connectionsOpened).toBe(0);
});

test("the time of a test broker", async () => {
  await expectFaults({ createTestBroker }, "createTestBroker", {
    startsAt: ["x", null, 5, {}, new Date("x")].map((startsAt) => [{ startsAt }]),
    seed: ["x", null, 1.5, Number.NaN].map((seed) => [{ seed }]),
  });
  const broker = createTestBroker();
  onTestFinished(() => broker.close(100));
  const durations = [undefined, null, "x", ["1s"], {}, -1, 2 ** 53, Number.MAX_VALUE];
  await expectFaults(broker.clock, "advance", { duration: durations.map((one) => [one]) });
  await broker.clock.advance(2 ** 52);
  expect(broker.clock.now).toBe(2 ** 52);
  // Of two concurrent calls, the second exceeds the largest exact integer.
  const first = broker.clock.advance(2 ** 51);
  await expectFaults(broker.clock, "advance", { duration: [[2 ** 51]] });
  await first;
  expect(broker.clock.now).toBe(2 ** 52 + 2 ** 51);
});

test("a recording and its replay", async () => {
  const recording = new Recording();
  const { sink } = recording;
  const make = (options: RecordOptions) => createLocalBroker({ record: recorder(options) });
  await expectFaults({ make }, "make", {
    options: [[null], [5]],
    "record.bytesMax": [[{ sink, bytesMax: 5 }]],
    maxBytes: [[{ sink, maxBytes: 2 ** 20 }]],
    sink: [[{}], [{ sink: null }]],
    "sink.write": [[{ sink: {} }]],
    payloads: [[{ sink, payloads: "no" }]],
    payload: [[{ sink, payload: false }]],
    handleEnd: [[{ sink, handleEnd: true }]],
  });
  await make({ sink }).close();
  const { bytes } = recording;
  await expectFaults({ replay }, "replay", {
    options: [[bytes, null]],
    until: [-1, 1.5, "2"].map((until) => [bytes, { until }]),
    steps: [[bytes, { steps: 2 }]],
  });
});

/** UTF-8 has no unpaired surrogate, and an MQTT text has no U+0000. */
test.each(["\ud83d", "a\udc4db", "👍\ud83d", "\ude00\ud83d", "a\0b"])(
  "[MQTT-1.5.4-1] [MQTT-1.5.4-2] texts that are not MQTT strings: %j",
  async (bad) => {
    const texts = ["ContentType", "ResponseTopic"] as const;
    const properties = (field = "properties") => ({
      ...Object.fromEntries(texts.map((name) => [`${field}.${name}`, { [name]: bad }])),
      [`${field}.UserProperty`]: { UserProperty: [["key", bad]] },
    });
    const published = {
      topic: [[bad, "p"]],
      ...mapped(properties(), (value) => [["t", "p", { properties: value }]]),
    };
    const broker = createLocalBroker({ allowAnonymous: true });
    onTestFinished(() => broker.close(100));
    await expectFaults(broker, "publish", published);
    await expectFaults(broker, "disconnect", { clientId: [[bad]] });
    await expectFaults(broker, "moveClients", { reference: [[bad]] });
    await expectFaults(broker, "connect", {
      clientId: [[{ clientId: bad }]],
      username: [[{ username: bad }]],
      "properties.UserProperty": [[{ properties: { UserProperty: [[bad, "value"]] } }]],
      "will.topic": [[{ will: { topic: bad } }]],
      ...mapped(properties("will.properties"), (value) => [
        [{ will: { topic: "t", properties: value } }],
      ]),
    });
    expect(broker.counters.connectionsOpened).toBe(0);
    const client = await broker.connect();
    await expectFaults(client, "publish", published);
    await expectFaults(client, "subscribe", {
      filters: [[bad], [["a", `${bad}/#`]], [`$share/${bad}/a`], [`$share/g/${bad}`]],
      "properties.UserProperty": [["a", { userProperty: [[bad, ""]] }]],
    });
    await expectFaults(client, "unsubscribe", { filters: [[bad]] });
    await expectFaults(client, "disconnect", {
      "properties.ReasonString": [[{ properties: { ReasonString: bad } }]],
    });
    const tested = createTestBroker();
    onTestFinished(() => tested.close(100));
    await expectFaults(tested, "connect", { clientId: [[{ clientId: bad }]] });
    for (const create of [createLocalBroker, createTestBroker, createBroker]) {
      await expectFaults({ create }, "create", {
        responseInformation: [[{ responseInformation: bad }]],
        serverReference: [[{ serverReference: bad }]],
        users: [[{ users: { [bad]: "password" } }]],
        methods: [[{ methods: { [bad]: { begin: () => {} } } }]],
      });
    }
  },
);

/** One call with each value. */
function mappedAll(
  of: Record<string, unknown[]>,
  call = (value: unknown): unknown[] => [value],
): Record<string, unknown[][]> {
  return Object.fromEntries(Object.entries(of).map(([name, values]) => [name, values.map(call)]));
}

function mapped(of: object, to: (value: unknown) => unknown[][]): Record<string, unknown[][]> {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, to(value)]));
}

test("a payload may be any text, encoded as TextEncoder does", async () => {
  const broker = createLocalBroker();
  onTestFinished(() => broker.close(100));
  const loop = await (await broker.connect()).subscribe("t");
  broker.publish("t", "\ud83d\0");
  expect((await loop.next()).value.payload).toEqual(new TextEncoder().encode("\ufffd\0"));
});

test("valid arguments are accepted: any text, Node's buffers, omitted options", async () => {
  const broker = createLocalBroker();
  onTestFinished(() => broker.close(100));
  const client: LocalClient = await broker.connect({ will: { topic: "w" } });
  const loop = await client.subscribe("t");
  const properties = { CorrelationData: Buffer.from("abc"), ContentType: undefined };
  (broker as unknown as Loose)["publish"]!("t", Buffer.from("p"), { properties, qos: undefined });
  const { value } = await loop.next();
  expect(value.payload).toEqual(Uint8Array.of(0x70));
  expect(value.properties.CorrelationData).toEqual(Uint8Array.from(Buffer.from("abc")));
});
