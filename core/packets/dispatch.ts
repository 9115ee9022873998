/** Finds the frames of the bytes at hand, and hands each to the handler of its packet type. */
import { ROW_WORDS } from "../codec/layout.ts";
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
import { faultOfFirstByte } from "./first-byte.ts";
import { handlePublish } from "./publish.ts";
import { handleSubscribe, handleUnsubscribe } from "./subscribe.ts";

/**
 * Handles the complete frames of `context.frames.bytes[start, …)` until there are no more, or the connection waits
 * or ends. Returns where the first frame begins that was not handled. The first frames are found with `rows`.
 */
export function dispatchFrames(
  context: BrokerContext,
  connection: Connection,
  start: number,
  rows: Uint32Array,
): number {
  const { ingest, counters, frames } = context;
  const { packetBytesMax } = context.limits;
  for (frames.rows = rows; ; frames.rows = MANY_ROWS) {
    const count = ingest.scan(frames.bytes, start, frames.rows, packetBytesMax);
    if (count === 0) return start;
    if (count < 0) {
      // The same reason, whether the first byte came alone or with what follows.
      const fault = faultOfFirstByte(context, connection, frames.bytes[start]!);
      const reason = fault === Reason.Success ? (-count as ReasonCode) : fault;
      endConnection(context, connection, "packetFault", reason);
      return start;
    }
    connection.lastSeen = context.now;
    const epoch = ingest.topicEpoch;
    for (let at = 0; at < count * ROW_WORDS; at += ROW_WORDS) {
      const isPublish = frames.firstByte(at) >> 4 === PacketType.Publish;
      const outcome =
        isPublish && connection.stage === Stage.Connected
          ? handlePublish(context, connection, at)
          : handlePacket(context, connection, at);
      if (outcome === PENDING) return frames.offset(at);
      if (outcome !== Reason.Success)
        applyFault(context, connection, frames.firstByte(at), outcome);
      counters[Counter.packetsReceived]!++;
      start = frames.start(at) + frames.remaining(at);
      if (!connection.isReading) return start;
      // A will that was published meanwhile may have emptied the interning table, and these rows.
      if (ingest.topicEpoch !== epoch) break;
    }
  }
}

/** Handles any packet but the PUBLISH of a client, in row `at`. */
function handlePacket(context: BrokerContext, connection: Connection, at: number): Outcome {
  const { frames } = context;
  const { bytes } = frames;
  const first = frames.firstByte(at);
  const start = frames.start(at);
  const end = start + frames.remaining(at);
  const fault = faultOfFirstByte(context, connection, first);
  if (fault !== Reason.Success) {
    endConnection(context, connection, "packetFault", fault);
    return Reason.Success;
  }
  const type = first >> 4;
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
      // AUTH: the first byte of any other type is a fault.
      return handleAuth(context, connection, start, end);
  }
}

/** A CONNECT or AUTH that fails before CONNACK is refused; any other fault ends the connection. */
function applyFault(
  context: BrokerContext,
  connection: Connection,
  first: number,
  fault: ReasonCode,
): void {
  const type = first >> 4;
  const isAnswered = type === PacketType.Connect || type === PacketType.Auth;
  const isRefusal = isAnswered && connection.session === null;
  endConnection(context, connection, isRefusal ? "connectRefused" : "packetFault", fault);
}

/** Rows of the frames of a chunk. One table serves all: chunks are handled one at a time. */
export const MANY_ROWS: Uint32Array = new Uint32Array(1024 * ROW_WORDS);
/** For input that parked its connection and may do so again: its frames are not found again at each packet. */
export const FEW_ROWS: Uint32Array = new Uint32Array(16 * ROW_WORDS);
