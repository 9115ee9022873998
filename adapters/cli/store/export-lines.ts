/**
 * The lines of an export: one JSON object for each record. `import-lines.ts` reads them back, and docs/durability.md
 * lists their fields.
 */
import type { MessageFields, PropertyValues } from "../../../core/mod.ts";
import {
  DELIVERY_QOS,
  DELIVERY_RETAIN,
  decodeIdentifiers,
  decodeProperties,
  decodeUtf8,
  identifierOf,
  isMessageKind,
  OPTIONS_NO_LOCAL,
  OPTIONS_QOS,
  OPTIONS_RETAIN_AS_PUBLISHED,
  QueueRecordKind,
  Table,
} from "../../../core/mod.ts";
import { isoTime } from "../../captured.ts";
import type { SoundRecord } from "./sound-records.ts";

/** The first line. */
export const HEADER = { type: "store", format: 1 } as const;

/** What JSON has no value for. */
export const NEVER_TEXT = "never";

export function lineOf(record: SoundRecord): object {
  switch (record.table) {
    case Table.Session: {
      const { clientId, durableId, expiryMillis, endsAt } = record.fields;
      return {
        ...{ type: "session", clientId, number: durableId },
        ...{ expirySeconds: secondsOf(expiryMillis), ends: timeOf(endsAt) },
      };
    }
    case Table.Subscription: {
      const { filter, options } = record.fields;
      return {
        ...{ type: "subscription", clientId: record.owner, filter, qos: options & OPTIONS_QOS },
        noLocal: (options & OPTIONS_NO_LOCAL) !== 0,
        retainAsPublished: (options & OPTIONS_RETAIN_AS_PUBLISHED) !== 0,
        ...(identifierOf(options) === 0 ? {} : { identifier: identifierOf(options) }),
      };
    }
    case Table.Message:
      return messageLine(record.fields, record.value);
    case Table.Queue:
      return queueLine(record);
    case Table.Retained: {
      const { topic, serial, expiresAt } = record.fields;
      return { type: "retained", topic, message: serial, ...expires(expiresAt) };
    }
    case Table.Will: {
      const { clientId, serial, delayMillis, expiryMillis, dueAt } = record.fields;
      return {
        ...{ type: "will", clientId, message: serial, delaySeconds: secondsOf(delayMillis) },
        ...{ expirySeconds: secondsOf(expiryMillis), due: timeOf(dueAt) },
      };
    }
  }
}

function messageLine(fields: MessageFields, value: Uint8Array): object {
  const { serial, qos, isRetained, expiresAt, topicStart, topicEnd, payloadStart } = fields;
  return {
    ...{ type: "message", number: serial, topic: decodeUtf8(value, topicStart + 2, topicEnd) },
    ...{ qos, retain: isRetained, ...expires(expiresAt) },
    ...(topicEnd === payloadStart
      ? {}
      : { properties: propertiesOf(decodeProperties(value, topicEnd, payloadStart)) }),
    ...payloadOf(value.subarray(payloadStart)),
  };
}

function queueLine(record: Extract<SoundRecord, { table: typeof Table.Queue }>): object {
  const { fields, value, owner } = record;
  const { kind, n, order, serial, delivery, share, propertyStart } = fields;
  const identifiers = decodeIdentifiers(value, propertyStart)!;
  const place = kind === QueueRecordKind.Queued ? { position: n } : { packetId: n };
  return {
    ...{ type: queueTypes[kind], clientId: owner, ...place, order },
    ...(isMessageKind(kind)
      ? {
          ...{ message: serial, qos: delivery & DELIVERY_QOS },
          retain: (delivery & DELIVERY_RETAIN) !== 0,
        }
      : {}),
    ...(share === "" ? {} : { share }),
    ...(identifiers.length === 0 ? {} : { identifiers }),
  };
}

/** Binary values become base64. */
function propertiesOf(values: PropertyValues): object {
  const entries = Object.entries(values).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? base64(value) : (value as unknown),
  ]);
  return Object.fromEntries(entries) as object;
}

/** As text if that gives the same bytes back. */
function payloadOf(payload: Uint8Array): object {
  if (payload.length <= TEXT_BYTES_MAX) {
    try {
      return { payload: utf8.decode(payload) };
    } catch {
      // It is no text.
    }
  }
  return { payloadBase64: base64(payload) };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

function expires(at: number): object {
  return at === 0 ? {} : { expires: timeOf(at) };
}

/** Unix time in milliseconds as a text; 0: null. */
function timeOf(millis: number): string | null {
  if (millis === 0) return null;
  return millis > TIME_MAX ? NEVER_TEXT : isoTime(millis);
}

function secondsOf(millis: number): number | string {
  return millis === Number.POSITIVE_INFINITY ? NEVER_TEXT : millis / 1000;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** A longer text might become too long for a string when its control characters are escaped. */
const TEXT_BYTES_MAX = 64 * 1024 * 1024;
/** The last moment that ISO 8601 can name here. */
export const TIME_MAX = 8.64e15;

const queueTypes = {
  [QueueRecordKind.Queued]: "queued",
  [QueueRecordKind.Sent]: "sent",
  [QueueRecordKind.Released]: "released",
  [QueueRecordKind.Receipt]: "receipt",
} as const;
