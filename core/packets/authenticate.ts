/**
 * Authenticates a client through the policy: by user name and password, or by the steps of a
 * method, MQTT 5.0 §4.12.
 */
import { ownBytes } from "../base/bytes.ts";
import type { AuthenticateRequest, Decision, PropertyValues } from "../boundary.ts";
import type { ConnectPacket } from "../codec/decode-connect.ts";
import { encodeReason } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import type { Connection } from "../connection/connection.ts";
import { denialReason } from "../connection/denials.ts";
import type { Exchange } from "../connection/exchange.ts";
import type { BrokerContext } from "../context.ts";
import { requestDecision } from "../lifecycle/decisions.ts";
import {
  ENCODED_REPLY,
  fitsMaximumPacketSize,
  keepEncodedReply,
  replyInOrder,
} from "../lifecycle/reply-queue.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { FAILURE_MIN, PENDING, Reason } from "../reason.ts";

/** The client has been sent a challenge and has to respond to it. */
export const CHALLENGED = -2;
/** Success, PENDING, CHALLENGED, or the reason code of the failure. */
export type AuthOutcome = Outcome | typeof CHALLENGED;

/** Authenticates the client of a CONNECT. `connect` is its variable header and payload. */
export function authenticateConnect(
  context: BrokerContext,
  connection: Connection,
  packet: ConnectPacket,
  connect: Uint8Array,
): AuthOutcome {
  const { level, isBridge, clientId, username, password, properties } = packet;
  const { authenticationMethod: method, authenticationData: data } = properties;
  if (method !== null && connection.exchange === null) {
    connection.exchange = { method, connect: ownBytes(connect), isChallenged: false, data: null };
  }
  return authenticate(context, connection, {
    kind: "authenticate",
    conn: connection.id,
    info: connection.info,
    level,
    isBridge,
    clientId,
    username,
    password,
    method,
    data,
    step: "connect",
  });
}

/** Asks the policy, or applies the decision of the host that was pending. */
export function authenticate(
  context: BrokerContext,
  connection: Connection,
  request: AuthenticateRequest,
): AuthOutcome {
  const decision = connection.takeDecision();
  if (decision !== null) return applyDecision(context, connection, decision);
  const verdict = context.policy.authenticate(request);
  if (verdict === Verdict.Allow) return Reason.Success;
  if (verdict === Verdict.Pending) {
    requestDecision(context, connection, request);
    return PENDING;
  }
  if (verdict >= FAILURE_MIN) return verdict as ReasonCode;
  if (request.method !== null) return Reason.BadAuthenticationMethod; // [MQTT-4.12.0-1]
  return request.username === null ? Reason.NotAuthorized : Reason.BadUserNameOrPassword;
}

function applyDecision(
  context: BrokerContext,
  connection: Connection,
  decision: Decision,
): AuthOutcome {
  const { exchange } = connection;
  if (decision.kind === "allow") {
    if (exchange !== null) exchange.data = decision.data ?? null;
    return Reason.Success;
  }
  if (decision.kind === "challenge" && exchange !== null) {
    exchange.isChallenged = true;
    context.counters[Counter.authenticationsExtended]!++;
    // [MQTT-4.12.0-2]
    const isSent = sendAuth(context, connection, Reason.ContinueAuthentication, decision.data);
    return isSent ? CHALLENGED : Reason.ImplementationSpecific;
  }
  return denialReason(connection, decision);
}

/** The properties of a CONNACK or AUTH that belong to an exchange [MQTT-4.12.0-5]. */
export function authenticationProperties(exchange: Exchange | null): PropertyValues {
  if (exchange === null) return {};
  const { method, data } = exchange;
  return { AuthenticationMethod: method, ...(data === null ? {} : { AuthenticationData: data }) };
}

/** Queues an AUTH. False: it exceeds the client's Maximum Packet Size [MQTT-3.1.2-24]. */
export function sendAuth(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  data: Uint8Array | null,
): boolean {
  const packet = encodeReason(FirstByte.Auth, reason, {
    ...authenticationProperties(connection.exchange),
    ...(data === null ? {} : { AuthenticationData: data }),
  });
  if (!fitsMaximumPacketSize(connection, packet)) return false;
  keepEncodedReply(connection, packet);
  replyInOrder(context, connection, ENCODED_REPLY);
  return true;
}
