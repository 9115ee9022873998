/** Random MQTT 5.0 packets and properties, often valid. */
import * as wire from "../conformance/wire.ts";
import type { Random } from "../support/random.ts";

const names = [
  "a",
  "a/b",
  "",
  "+",
  "#",
  "a/+",
  "$share/g/a",
  "$share/g/#",
  "$share/",
  "w",
  "x/y/z/long",
];
const texts = ["", "t", "a/b", "#", "ä", "\0", "x".repeat(200)];
const numbers = [0, 1, 2, 3, 20, 100, 127, 128, 16_384, 65_535];
/** Property names, and the kind of their values. */
const choices: Readonly<Record<string, "number" | "text" | "bytes" | "pair">> = {
  PayloadFormatIndicator: "number",
  MessageExpiryInterval: "number",
  ContentType: "text",
  ResponseTopic: "text",
  CorrelationData: "bytes",
  SubscriptionIdentifier: "number",
  SessionExpiryInterval: "number",
  AuthenticationMethod: "text",
  AuthenticationData: "bytes",
  RequestProblemInformation: "number",
  WillDelayInterval: "number",
  RequestResponseInformation: "number",
  ServerReference: "text",
  ReasonString: "text",
  ReceiveMaximum: "number",
  TopicAliasMaximum: "number",
  TopicAlias: "number",
  UserProperty: "pair",
  MaximumPacketSize: "number",
};

/** Some properties that a packet may have, and now and then a property that it may not have. */
function some(random: Random, fitting: readonly string[]): wire.Properties {
  const found: Record<string, wire.Properties[string]> = {};
  while (random.chance(2)) {
    const name = random.chance(20) ? random.pick(Object.keys(choices)) : random.pick(fitting);
    const kind = choices[name]!;
    if (kind === "number") found[name] = random.pick(numbers);
    else if (kind === "text") found[name] = random.pick(texts);
    else if (kind === "bytes") found[name] = Uint8Array.of(1, 0, 255);
    else
      found[name] = [
        [random.pick(texts), "v"],
        ["k", random.pick(texts)],
      ];
  }
  return found;
}

const ofMessages = [
  ...["PayloadFormatIndicator", "MessageExpiryInterval", "ContentType", "ResponseTopic"],
  ...["CorrelationData", "UserProperty"],
];

export function connect5(random: Random, clientId: string): Uint8Array {
  const will = {
    topic: random.pick(names),
    payload: "w",
    qos: random.below(3),
    retain: random.chance(2),
    props: some(random, [...ofMessages, "WillDelayInterval"]),
  };
  const fitting = [
    ...["SessionExpiryInterval", "ReceiveMaximum", "MaximumPacketSize", "TopicAliasMaximum"],
    ...["RequestResponseInformation", "RequestProblemInformation", "UserProperty"],
  ];
  return wire.connect(5, {
    clientId,
    clean: random.chance(2),
    keepAlive: random.below(20),
    ...(random.chance(3) ? { will } : {}),
    props: some(random, fitting),
  });
}

export function packet5(random: Random, clientId: string): Uint8Array {
  const id = random.chance(10) ? random.below(65_536) : random.below(8);
  const reason = random.chance(2) ? undefined : random.pick([0, 0x10, 0x80, 0x83, 0x92, 0x55]);
  const qos = random.below(3);
  switch (random.below(13)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const payload = new Uint8Array(random.chance(20) ? random.below(40_000) : random.below(40));
      const props = some(random, [...ofMessages, "TopicAlias", "TopicAlias"]);
      const [retain, dup] = [random.chance(4), random.chance(10)];
      return wire.publish(5, { topic: random.pick(names), payload, qos, id, retain, dup, props });
    }
    case 4:
    case 5: {
      const filters = [
        [random.pick(names), random.below(48)],
        [random.pick(names), random.below(4)],
      ] as const;
      const props = some(random, ["SubscriptionIdentifier", "UserProperty"]);
      return wire.subscribe(5, id, filters, props);
    }
    case 6:
      return wire.unsubscribe(5, id, [random.pick(names)]);
    case 7:
      return wire.ack(wire.Puback, id, reason);
    case 8:
      return wire.ack(wire.Pubrec, id, reason);
    case 9:
      return wire.ack(wire.Pubrel, id, reason);
    case 10:
      return wire.ack(wire.Pubcomp, id, reason);
    case 11:
      return random.chance(3)
        ? wire.auth(0x19, some(random, ["AuthenticationMethod"]))
        : wire.pingreq;
    default:
      if (random.chance(8)) return connect5(random, clientId);
      if (random.chance(4)) {
        const props = some(random, ["SessionExpiryInterval", "ReasonString"]);
        return wire.disconnect(random.pick([0, 4, 0x80]), props);
      }
      return wire.pingreq;
  }
}
