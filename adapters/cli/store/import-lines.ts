/**
 * Makes records of the lines of an export, or of lines that another program or a person wrote. A line comes after the
 * lines that it refers to: a session before its subscriptions and its queue, a message before what uses it.
 *
 * A line may leave out the numbers that nobody wants to choose: that of a session, and the order of an entry and its
 * position in the queue. They then follow those of the lines before.
 */
import type { EncodedRecord, PropertyValues } from "../../../core/mod.ts";
import {
  ConfigError,
  DELIVERY_RETAIN,
  DURABLE_ID_MAX,
  encodeMessage,
  encodeProperties,
  encodeQueue,
  encodeRetained,
  encodeSession,
  encodeSubscription,
  encodeUtf8,
  encodeWill,
  hashBytes,
  isBrokerTopic,
  OPTIONS_NO_LOCAL,
  OPTIONS_RETAIN_AS_PUBLISHED,
  ORDER_MAX,
  PacketType,
  POSITION_FIRST,
  POSITION_MAX,
  Property,
  propertyTable,
  QueueRecordKind,
  SERIAL_MAX,
  sharedFilter,
  subscriptionOptions,
  unknownName,
} from "../../../core/mod.ts";
import {
  checkedMessage,
  checkFilter,
  checkObject,
  checkQoS,
  checkSwitch,
  checkText,
  checkTopic,
  checkWhole,
  isObject,
} from "../../checks.ts";
import { HEADER } from "./export-lines.ts";
import { base64At, millisAt, timeAt } from "./line-values.ts";
import { SerialTable } from "./serial-table.ts";

type Line = Readonly<Record<string, unknown>>;

export type LineType = "session" | "subscription" | "message" | EntryType | "retained" | "will";
/** Lines of the queue of a session. */
type EntryType = "queued" | "sent" | "released" | "receipt";

/** A session of the lines so far. */
interface Client {
  readonly durableId: number;
  readonly packetIds: Set<number>;
  readonly receipts: Set<number>;
  lastPosition: number;
  hasPosition: boolean;
}

export class ImportLines {
  readonly #mayUpgradeQoS: boolean;
  #hasHeader = false;
  readonly #clients = new Map<string, Client>();
  readonly #numbers = new Set<number>();
  #lastNumber = 0;
  #lastOrder = 0;
  /** With the QoS of each message, whether it is empty, and a hash of its topic. */
  readonly #messages = new SerialTable();

  /**
   * `mayUpgradeQoS`: an entry may have a QoS above that of its message, as of mosquitto with `upgrade_outgoing_qos`.
   */
  constructor(mayUpgradeQoS = false) {
    this.#mayUpgradeQoS = mayUpgradeQoS;
  }

  /** The record of a line; null: it has none. Throws ConfigError if it is not allowed. */
  record(line: unknown): EncodedRecord | null {
    checkObject("line", line);
    const { type } = line as Line;
    if (!this.#hasHeader) {
      checkNames(line as Line, ["type", "format"]);
      if (type !== HEADER.type) throw new ConfigError("type", type, `"${HEADER.type}" at first`);
      if ((line as Line)["format"] !== HEADER.format) {
        throw new ConfigError("format", (line as Line)["format"], `${HEADER.format}`);
      }
      this.#hasHeader = true;
      return null;
    }
    if (typeof type !== "string" || !Object.hasOwn(fieldNames, type)) {
      throw new ConfigError("type", type, `one of ${Object.keys(fieldNames).join(", ")}`);
    }
    checkNames(line as Line, ["type", ...fieldNames[type as LineType]]);
    return this.#recordOf(type as LineType, line as Line);
  }

  /** The numbers of the messages that no line uses. */
  unusedMessages(): Iterable<number> {
    return this.#messages.unmarked();
  }

  #recordOf(type: LineType, line: Line): EncodedRecord {
    switch (type) {
      case "session":
        return this.#session(line);
      case "subscription":
        return this.#subscription(line);
      case "message":
        return this.#message(line);
      case "retained": {
        const { topic } = line;
        checkTopic("topic", topic, ANY);
        const serial = this.#used(line);
        this.#checkRetained(topic, serial);
        return encodeRetained({ topic, serial, expiresAt: timeAt(line, "expires") });
      }
      case "will": {
        const { clientId } = line;
        checkClientId(clientId);
        return encodeWill({
          ...{ clientId, serial: this.#used(line), delayMillis: millisAt(line, "delaySeconds") },
          ...{ expiryMillis: millisAt(line, "expirySeconds"), dueAt: timeAt(line, "due") },
        });
      }
      default:
        return this.#entry(type, line);
    }
  }

  #session(line: Line): EncodedRecord {
    const { clientId, number = this.#lastNumber + 1 } = line;
    checkClientId(clientId);
    if (this.#clients.has(clientId)) {
      throw new ConfigError("clientId", clientId, "a client without a session line before");
    }
    checkWhole("number", number, 1, DURABLE_ID_MAX);
    if (this.#numbers.has(number)) {
      throw new ConfigError("number", number, "a number that no session before has");
    }
    this.#numbers.add(number);
    this.#lastNumber = Math.max(this.#lastNumber, number);
    const [packetIds, receipts] = [new Set<number>(), new Set<number>()];
    this.#clients.set(clientId, {
      durableId: number,
      packetIds,
      receipts,
      lastPosition: POSITION_FIRST - 1,
      hasPosition: false,
    });
    return encodeSession({
      ...{ clientId, durableId: number },
      ...{ expiryMillis: millisAt(line, "expirySeconds"), endsAt: timeAt(line, "ends") },
    });
  }

  #subscription(line: Line): EncodedRecord {
    const { filter, qos, noLocal = false, retainAsPublished = false, identifier = 0 } = line;
    const { durableId } = this.#client(line);
    checkFilter("filter", filter, ANY);
    checkQoS("qos", qos);
    checkSwitch("noLocal", noLocal);
    checkSwitch("retainAsPublished", retainAsPublished);
    if (identifier !== 0) checkWhole("identifier", identifier, 1, IDENTIFIER_MAX);
    if (noLocal && sharedFilter(filter) !== null) {
      throw new ConfigError("noLocal", noLocal, "false for a shared subscription");
    }
    const flags =
      qos |
      (noLocal ? OPTIONS_NO_LOCAL : 0) |
      (retainAsPublished ? OPTIONS_RETAIN_AS_PUBLISHED : 0);
    const options = subscriptionOptions(flags, identifier as number);
    return encodeSubscription({ durableId, filter, options });
  }

  #message(line: Line): EncodedRecord {
    const { number, topic, qos, retain } = line;
    checkWhole("number", number, 1, SERIAL_MAX);
    if (number <= this.#messages.last) {
      throw new ConfigError("number", number, "a number above those of the messages before");
    }
    const given = {
      ...{ topic, payload: payloadOf(line), qos, retain },
      properties: propertiesOf(line["properties"]),
    };
    const message = checkedMessage(given, ANY, "", PacketType.Publish);
    if (message.properties.MessageExpiryInterval !== undefined) {
      const interval = message.properties.MessageExpiryInterval;
      throw new ConfigError("properties.MessageExpiryInterval", interval, "the field expires");
    }
    const isEmpty = message.payload.length === 0;
    const facts = message.qos | (isEmpty ? IS_EMPTY : 0) | topicHash(message.topic);
    this.#messages.add(number, facts >>> 0);
    return encodeMessage(
      {
        ...{ serial: number, qos: message.qos, isRetained: message.retain },
        expiresAt: timeAt(line, "expires"),
      },
      message.topic,
      encodeProperties(message.properties),
      message.payload,
    );
  }

  #entry(type: EntryType, line: Line): EncodedRecord {
    const kind = entryKinds[type];
    const client = this.#client(line);
    const { order = this.#lastOrder + 1 } = line;
    checkWhole("order", order, 1, ORDER_MAX);
    this.#lastOrder = Math.max(this.#lastOrder, order);
    const n =
      kind === QueueRecordKind.Queued ? position(line, client) : packetId(line, client, kind);
    const { durableId } = client;
    if (kind === QueueRecordKind.Released || kind === QueueRecordKind.Receipt) {
      const bare = { durableId, kind, n, order, serial: 0, delivery: 0, share: "" };
      return encodeQueue(bare, NO_BYTES);
    }
    const { qos, retain = false, share = "", identifiers = [] } = line;
    if (qos !== 1 && qos !== 2) throw new ConfigError("qos", qos, "1 or 2");
    const serial = this.#used(line);
    const qosMax = this.#messages.valueOf(serial) & QOS_BITS;
    if (qos > qosMax && !this.#mayUpgradeQoS) {
      throw new ConfigError("qos", qos, `at most ${qosMax}, the QoS of message ${serial}`);
    }
    checkSwitch("retain", retain);
    if (share !== "") checkFilter("share", share, ANY);
    if (!Array.isArray(identifiers)) {
      throw new ConfigError("identifiers", identifiers, "a list of Subscription Identifiers");
    }
    for (const identifier of identifiers as unknown[]) {
      checkWhole("identifiers", identifier, 1, IDENTIFIER_MAX);
    }
    return encodeQueue(
      {
        ...{ durableId, kind, n, order, serial },
        ...{ delivery: qos | (retain ? DELIVERY_RETAIN : 0), share: share as string },
      },
      encodeProperties({ SubscriptionIdentifier: identifiers as number[] }),
    );
  }

  #checkRetained(topic: string, serial: number): void {
    const facts = this.#messages.valueOf(serial);
    if (((facts ^ topicHash(topic)) & HASH_BITS) !== 0) {
      throw new ConfigError("topic", topic, `the topic of message ${serial}`);
    }
    if ((facts & IS_EMPTY) !== 0) {
      throw new ConfigError("message", serial, "the number of a message with a payload");
    }
    if (isBrokerTopic(topic)) {
      throw new ConfigError("topic", topic, "a topic that is not the broker's own");
    }
  }

  /** The session of the client that a line names. */
  #client({ clientId }: Line): Client {
    checkText("clientId", clientId);
    const client = this.#clients.get(clientId);
    if (client !== undefined) return client;
    throw new ConfigError("clientId", clientId, "the client of a session line before");
  }

  /** The message that a line uses. */
  #used({ message }: Line): number {
    if (typeof message === "number" && this.#messages.mark(message)) return message;
    throw new ConfigError("message", message, "the number of a message line before");
  }
}

function checkClientId(clientId: unknown): asserts clientId is string {
  checkText("clientId", clientId);
  if (clientId === "") throw new ConfigError("clientId", clientId, "a string that is not empty");
}

function topicHash(topic: string): number {
  const bytes = encodeUtf8(topic);
  return hashBytes(bytes, 0, bytes.length, 0) & HASH_BITS;
}

function position(line: Line, client: Client): number {
  const { position: n = client.lastPosition + 1 } = line;
  checkWhole("position", n, POSITION_MIN, POSITION_MAX);
  if (client.hasPosition && n <= client.lastPosition) {
    throw new ConfigError("position", n, "a position behind those of the client before");
  }
  client.lastPosition = n;
  client.hasPosition = true;
  return n;
}

function packetId(line: Line, client: Client, kind: number): number {
  const { packetId: id } = line;
  checkWhole("packetId", id, 1, 0xffff);
  const used = kind === QueueRecordKind.Receipt ? client.receipts : client.packetIds;
  if (used.has(id)) throw new ConfigError("packetId", id, "a packet identifier that is not in use");
  used.add(id);
  return id;
}

function payloadOf(line: Line): Uint8Array | string {
  const { payload, payloadBase64 } = line;
  if (payload === undefined && payloadBase64 !== undefined) return base64At(line, "payloadBase64");
  if (typeof payload === "string" && payloadBase64 === undefined) return payload;
  throw new ConfigError("payload", payload, "a string, or else payloadBase64");
}

/** Properties with their binary values in base64. */
function propertiesOf(given: unknown): PropertyValues {
  if (!isObject(given)) {
    if (given !== undefined) checkObject("properties", given);
    return {};
  }
  const entries = Object.entries(given).map(([name, value]) => {
    const id = Object.hasOwn(Property, name) ? Property[name as keyof typeof Property] : 0;
    const type = propertyTable[id]?.type;
    const isBinary = type !== undefined && type.fields === 1 && !type.isText;
    return [name, isBinary ? base64At(given, name, "properties.") : value];
  });
  return Object.fromEntries(entries) as PropertyValues;
}

function checkNames(line: Line, names: readonly string[]): void {
  for (const name of Object.keys(line)) {
    if (!names.includes(name)) throw unknownName("", name, line[name], names);
  }
}

const entryKinds = {
  queued: QueueRecordKind.Queued,
  sent: QueueRecordKind.Sent,
  released: QueueRecordKind.Released,
  receipt: QueueRecordKind.Receipt,
} as const;

const withMessage: readonly string[] = ["message", "qos", "retain", "share", "identifiers"];

/** The fields of each type of line. */
const fieldNames: Readonly<Record<LineType, readonly string[]>> = {
  session: ["clientId", "number", "expirySeconds", "ends"],
  subscription: ["clientId", "filter", "qos", "noLocal", "retainAsPublished", "identifier"],
  message: [
    ...["number", "topic", "qos", "retain", "expires", "properties", "payload", "payloadBase64"],
  ],
  queued: ["clientId", "position", "order", ...withMessage],
  sent: ["clientId", "packetId", "order", ...withMessage],
  released: ["clientId", "packetId", "order"],
  receipt: ["clientId", "packetId", "order"],
  retained: ["topic", "message", "expires"],
  will: ["clientId", "message", "delaySeconds", "expirySeconds", "due"],
};

/** What MQTT allows; the limits of a broker apply when it starts. */
const ANY = { topicBytesMax: 65_535, topicLevelsMax: 65_535 };
const IDENTIFIER_MAX = 268_435_455;
/** A broker puts the messages that it has sent and may send again before a queue: at most so many. */
const POSITION_MIN = 65_536;
/** What is known of a message, in one u32. */
const QOS_BITS = 3;
const IS_EMPTY = 4;
const HASH_BITS = ~7;
const NO_BYTES = new Uint8Array(0);
