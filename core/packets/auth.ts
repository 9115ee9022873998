/**
 * AUTH from a client: a step of the exchange before CONNACK or of a re-authentication, MQTT 5.0
 * §4.12.
 */
import { ownBytes } from "../base/bytes.ts";
import { PacketType } from "../codec/packet.ts";
import { Property, PropertyScan } from "../codec/properties.ts";
import { Reader } from "../codec/reader.ts";
import { decodeUtf8 } from "../codec/utf8.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { mayCarry, Reason } from "../reason.ts";
import { authenticate, CHALLENGED, sendAuth } from "./authenticate.ts";
import { handleConnect } from "./connect.ts";

/** Handles the AUTH `bytes[start, end)` of the current chunk. */
export function handleAuth(
  context: BrokerContext,
  connection: Connection,
  start: number,
  end: number,
): Outcome {
  const { exchange } = connection;
  const isConnected = connection.session !== null;
  // The exchange had succeeded, and a later decision about the CONNECT was pending.
  if (exchange !== null && !isConnected && connection.isAuthenticated) {
    return handleConnect(context, connection, exchange.connect, 0, exchange.connect.length);
  }
  const step = readAuth(context.frames.bytes, start, end);
  if (typeof step === "number") return step;
  const isBegun = step.reason === Reason.Reauthenticate;
  // AUTH must continue or begin an exchange, with the method of the CONNECT [MQTT-4.12.0-6]
  // [MQTT-4.12.1-1].
  if (exchange === null || step.method !== exchange.method) return Reason.ProtocolError;
  const isExpected = isBegun ? isConnected && !exchange.isChallenged : exchange.isChallenged;
  if (!isExpected) return Reason.ProtocolError;
  const { id: conn, info, level, isBridge, clientId, username } = connection;
  // A failure ends the connection [MQTT-4.12.0-4] [MQTT-4.12.1-2].
  const outcome = authenticate(context, connection, {
    ...{ kind: "authenticate", conn, info, level, isBridge, clientId, username, password: null },
    ...{ method: step.method, data: step.data },
    step: isBegun ? "reauthenticate" : "continue",
  });
  if (outcome === CHALLENGED) return Reason.Success;
  if (outcome !== Reason.Success) return outcome;
  exchange.isChallenged = false;
  if (!isConnected) {
    connection.isAuthenticated = true;
    return handleConnect(context, connection, exchange.connect, 0, exchange.connect.length);
  }
  const isSent = sendAuth(context, connection, Reason.Success, exchange.data);
  return isSent ? Reason.Success : Reason.ImplementationSpecific;
}

interface AuthStep {
  readonly reason: number;
  readonly method: string;
  /** A copy of the packet's bytes. */
  readonly data: Uint8Array | null;
}

function readAuth(bytes: Uint8Array, start: number, end: number): AuthStep | ReasonCode {
  const reader = new Reader(bytes, start, end);
  const reason = start === end ? Reason.Success : reader.u8();
  if (!mayCarry("AUTH", reason)) return Reason.MalformedPacket; // [MQTT-3.15.2-1]
  scan.clear();
  if (reader.at < end) {
    const fault = scan.read(reader, PacketType.Auth);
    if (fault !== Reason.Success) return fault;
  }
  if (!reader.isDone) return Reason.MalformedPacket;
  // Only the server may send Success.
  if (reason === Reason.Success) return Reason.ProtocolError;
  const method = Property.AuthenticationMethod;
  const data = Property.AuthenticationData;
  if (!scan.has(method)) return Reason.ProtocolError;
  return {
    reason,
    method: decodeUtf8(bytes, scan.start(method), scan.end(method)),
    data: scan.has(data) ? ownBytes(bytes, scan.start(data), scan.end(data)) : null,
  };
}

const scan = new PropertyScan();
