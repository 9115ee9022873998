/** Finds the frames of the current chunk and passes each to the handler of its packet type. */
import { ROW_HEADER, ROW_OFFSET, ROW_REMAINING, ROW_WORDS } from "../codec/layout.ts";
import { PacketType } from "../codec/packet.ts";
import type { Connection } from "../connection/connection.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { PINGRESP, sendReply } from "../lifecycle/reply-queue.ts";
import { endConnection } from "../lifecycle/transitions.ts";
import { Counter } from "../observe/counters.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { PENDING, Reason } from "../reason.ts";
import { handleAcknowledgement } from "./acknowledge.ts";
import { handleAuth } from "./auth.ts";
import { handleConnect } from "./connect.ts";
import { handleDisconnect } from "./disconnect.ts";
import { validateFirstByte } from "./first-byte.ts";
import { handlePublish } from "./publish.ts";
import { handleSubscribe, handleUnsubscribe } from "./subscribe.ts";

/**
 * Handles the complete frames of `context.frames.bytes[start, …)` until none is left or the
 * connection is parked or ends. Returns the start of the first frame that was not handled. `rows`
 * is the table for the first frames.
 */
export function dispatchFrames(
  context: BrokerContext,
  connection: Connection,
  start: number,
  rows: Uint32Array,
): number {
  const { ingest, counters, frames } = context;
  const { packetBytesMax } = context.limits;
  const { bytes } = frames;
  for (let found = rows; ; found = MANY_ROWS) {
    frames.rows = found;
    const count = ingest.scan(bytes, start, found, packetBytesMax);
    if (count === 0) return start;
    if (count < 0) {
      // The same reason, whether the first byte arrived alone or with the rest.
      const fault = validateFirstByte(context, connection, bytes[start]!);
      const reason = fault === Reason.Success ? (-count as ReasonCode) : fault;
      endConnection(context, connection, "packetFault", reason);
      return start;
    }
    connection.lastSeen = context.now;
    const epoch = ingest.topicEpoch;
    for (let at = 0; at < count * ROW_WORDS; at += ROW_WORDS) {
      const header = found[at + ROW_HEADER]!;
      const end = found[at + ROW_OFFSET]! + (header >> 8) + found[at + ROW_REMAINING]!;
      const isPublish = (header & 0xf0) >> 4 === PacketType.Publish;
      const outcome =
        isPublish && connection.stage === Stage.Connected
          ? handlePublish(context, connection, at)
          : handlePacket(context, connection, at);
      if (outcome === PENDING) return found[at + ROW_OFFSET]!;
      if (outcome !== Reason.Success) applyFault(context, connection, header & 0xff, outcome);
      counters[Counter.packetsReceived]!++;
      start = end;
      if (!connection.isReading) return start;
      // A will published meanwhile may have emptied the table of topic names, which invalidates
      // these rows.
      if (ingest.topicEpoch !== epoch) break;
    }
  }
}

/** Handles the packet in row `at`, which is anything but the PUBLISH of a connected client. */
function handlePacket(context: BrokerContext, connection: Connection, at: number): Outcome {
  const { frames } = context;
  const { bytes } = frames;
  const firstByte = frames.firstByte(at);
  const start = frames.start(at);
  const end = start + frames.remaining(at);
  const fault = validateFirstByte(context, connection, firstByte);
  if (fault !== Reason.Success) {
    endConnection(context, connection, "packetFault", fault);
    return Reason.Success;
  }
  const type = firstByte >> 4;
  switch (type) {
    case PacketType.Connect:
      return handleConnect(context, connection, bytes, start, end);
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
      return handleAcknowledgement(context, connection, type, start, end);
    case PacketType.Subscribe:
      return handleSubscribe(context, connection, start, end);
    case PacketType.Unsubscribe:
      return handleUnsubscribe(context, connection, start, end);
    case PacketType.Pingreq:
      if (start !== end) return Reason.MalformedPacket;
      sendReply(context, connection, PINGRESP); // [MQTT311-3.12.4-1] [MQTT-3.12.4-1]
      return Reason.Success;
    case PacketType.Disconnect:
      return handleDisconnect(context, connection, start, end);
    default:
      // AUTH: for any other type, the first byte is a fault.
      return handleAuth(context, connection, start, end);
  }
}

/** A fault in CONNECT or AUTH before CONNACK refuses the connection; any other fault ends it. */
function applyFault(
  context: BrokerContext,
  connection: Connection,
  firstByte: number,
  fault: ReasonCode,
): void {
  const type = firstByte >> 4;
  const mayBeRefused = type === PacketType.Connect || type === PacketType.Auth;
  const isRefusal = mayBeRefused && connection.session === null;
  endConnection(context, connection, isRefusal ? "connectRefused" : "packetFault", fault);
}

/** Rows for the frames of a chunk. Chunks are handled one at a time, so one table serves all. */
export const MANY_ROWS: Uint32Array = new Uint32Array(1024 * ROW_WORDS);
/**
 * For a backlog, whose packets may each park the connection again: frames after such a packet are
 * scanned again, so few are scanned at a time.
 */
export const FEW_ROWS: Uint32Array = new Uint32Array(16 * ROW_WORDS);
