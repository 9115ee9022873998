/**
 * Authentication: user name and password in one step, and the AUTH exchange of MQTT 5.0 §4.12, in which the
 * policy challenges and the client answers, before CONNACK or again later.
 */
import { ownBytes } from "../base/bytes.ts";
import type { AuthenticateRequest, Decision, Millis, PropertyValues } from "../boundary.ts";
import type { ConnectPacket } from "../codec/decode-connect.ts";
import { encodeReason } from "../codec/encode.ts";
import { FirstByte, PacketType } from "../codec/packet.ts";
import { Property, PropertyScan } from "../codec/properties.ts";
import { Reader } from "../codec/reader.ts";
import { decodeUtf8 } from "../codec/utf8.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import type { ReasonCode } from "../reason.ts";
import { FAILURE_MIN, mayCarry, Reason } from "../reason.ts";
import type { Connection } from "./connection.ts";
import { reasonOf } from "./deny.ts";
import { fail, refuse } from "./end.ts";
import { requestDecision } from "./park.ts";
import { ENCODED_REPLY, fitsMaximumPacketSize, keepPacket, replyInOrder } from "./reply-queue.ts";

/** An authentication by a method, MQTT 5.0 §4.12. */
export interface Exchange {
  readonly method: string;
  /** The CONNECT that is answered when it is over: its variable header and payload. */
  readonly connect: Uint8Array;
  /** The client's turn. */
  isChallenged: boolean;
  /** What CONNACK or the last AUTH carries. */
  data: Uint8Array | null;
}

/** What has become of the question who a client is. */
export const AuthOutcome = {
  Allowed: 0,
  /** The packet is to be handled again after a decision. */ Pending: 1,
  /** AUTH has been sent: the client's turn. */ Challenged: 2,
  Denied: 3,
} as const;
export type AuthOutcome = (typeof AuthOutcome)[keyof typeof AuthOutcome];

/** Why it was denied, after `Asked.Denied`. */
export interface Denial {
  reason: ReasonCode;
}

/** Asks who sent a CONNECT; `connect` are its bytes, should there be an exchange. */
export function authenticate(
  context: BrokerContext,
  connection: Connection,
  packet: ConnectPacket,
  connect: Uint8Array,
  denial: Denial,
): AuthOutcome {
  const { level, isBridge, clientId, username, password, properties } = packet;
  const { authenticationMethod: method, authenticationData: data } = properties;
  if (method !== null && connection.exchange === null) {
    connection.exchange = { method, connect: ownBytes(connect), isChallenged: false, data: null };
  }
  return authenticateByPolicy(
    context,
    connection,
    {
      ...{ kind: "authenticate", conn: connection.id, info: connection.info },
      ...{ level, isBridge, clientId, username, password, method, data, step: "connect" },
    },
    denial,
  );
}

function authenticateByPolicy(
  context: BrokerContext,
  connection: Connection,
  request: AuthenticateRequest,
  denial: Denial,
): AuthOutcome {
  const decision = connection.takeDecision();
  if (decision !== null) return applyDecision(context, connection, decision, denial);
  const verdict = context.policy.authenticate(request);
  if (verdict === Verdict.Allow) return AuthOutcome.Allowed;
  if (verdict === Verdict.Pending) {
    requestDecision(context, connection, request);
    return AuthOutcome.Pending;
  }
  if (verdict >= FAILURE_MIN) denial.reason = verdict as ReasonCode;
  else if (request.method !== null)
    denial.reason = Reason.BadAuthenticationMethod; // [MQTT-4.12.0-1]
  else if (request.username === null) denial.reason = Reason.NotAuthorized;
  else denial.reason = Reason.BadUserNameOrPassword;
  return AuthOutcome.Denied;
}

function applyDecision(
  context: BrokerContext,
  connection: Connection,
  decision: Decision,
  denial: Denial,
): AuthOutcome {
  const { exchange } = connection;
  if (decision.kind === "allow") {
    if (exchange !== null) exchange.data = decision.data ?? null;
    return AuthOutcome.Allowed;
  }
  if (decision.kind === "challenge" && exchange !== null) {
    exchange.isChallenged = true;
    context.counters[Counter.authenticationsExtended]!++;
    // [MQTT-4.12.0-2]
    if (sendAuth(context, connection, Reason.ContinueAuthentication, decision.data)) {
      return AuthOutcome.Challenged;
    }
    denial.reason = Reason.ImplementationSpecific;
    return AuthOutcome.Denied;
  }
  denial.reason = reasonOf(connection, decision);
  return AuthOutcome.Denied;
}

/** What CONNACK says of an exchange [MQTT-4.12.0-5]. */
export function authenticationProperties(exchange: Exchange | null): PropertyValues {
  if (exchange === null) return {};
  const { method, data } = exchange;
  return { AuthenticationMethod: method, ...(data === null ? {} : { AuthenticationData: data }) };
}

/**
 * Handles AUTH, `bytes[start, end)`. `accept` handles a CONNECT whose exchange has ended well. False: a
 * decision is pending, the packet is to be handled again then.
 */
export function handleAuth(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
  now: Millis,
  accept: (connect: Uint8Array) => boolean,
): boolean {
  const { exchange } = connection;
  const isConnected = connection.session !== null;
  // It has ended well, and something else about the CONNECT was pending.
  if (exchange !== null && !isConnected && connection.isAuthenticated)
    return accept(exchange.connect);
  const step = readAuth(bytes, start, end);
  if (typeof step === "number") return give(context, connection, step, now);
  const isBegun = step.reason === Reason.Reauthenticate;
  // Only what goes on or begins anew, by the method of the CONNECT [MQTT-4.12.0-6] [MQTT-4.12.1-1].
  if (exchange === null || step.method !== exchange.method) {
    return give(context, connection, Reason.ProtocolError, now);
  }
  const isExpected = isBegun ? isConnected && !exchange.isChallenged : exchange.isChallenged;
  if (!isExpected) return give(context, connection, Reason.ProtocolError, now);
  const denial: Denial = { reason: Reason.NotAuthorized };
  const { id: conn, info, level, isBridge, clientId, username } = connection;
  const asked = authenticateByPolicy(
    context,
    connection,
    {
      ...{ kind: "authenticate", conn, info, level, isBridge, clientId, username, password: null },
      ...{ method: step.method, data: step.data },
      step: isBegun ? "reauthenticate" : "continue",
    },
    denial,
  );
  switch (asked) {
    case AuthOutcome.Pending:
      return false;
    case AuthOutcome.Challenged:
      return true;
    case AuthOutcome.Denied:
      return give(context, connection, denial.reason, now); // [MQTT-4.12.0-4] [MQTT-4.12.1-2]
    case AuthOutcome.Allowed:
      exchange.isChallenged = false;
      if (!isConnected) {
        connection.isAuthenticated = true;
        return accept(exchange.connect);
      }
      if (sendAuth(context, connection, Reason.Success, exchange.data)) return true;
      return give(context, connection, Reason.ImplementationSpecific, now);
  }
}

function give(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): true {
  return connection.session === null
    ? refuse(context, connection, reason, now)
    : fail(context, connection, reason, now);
}

interface AuthStep {
  readonly reason: number;
  readonly method: string;
  /** A copy. */
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
  // It says success only from the server to the client.
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

/** False: the client does not take packets that long [MQTT-3.1.2-24]. */
function sendAuth(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  data: Uint8Array | null,
): boolean {
  const properties = { ...authenticationProperties(connection.exchange) };
  const packet = encodeReason(FirstByte.Auth, reason, {
    ...properties,
    ...(data === null ? {} : { AuthenticationData: data }),
  });
  if (!fitsMaximumPacketSize(connection, packet)) return false;
  keepPacket(connection, packet);
  replyInOrder(context, connection, ENCODED_REPLY);
  return true;
}

const scan = new PropertyScan();
