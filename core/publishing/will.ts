/**
 * The Will Message of a client: created by CONNECT, later published or dropped, MQTT 5.0 and 3.1.1
 * §3.1.2.5.
 */
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { WillFields } from "../codec/decode-connect.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { PublishFields } from "../message/publish-fields.ts";
import { Counter } from "../observe/counters.ts";
import type { Session, Will } from "../session/session.ts";
import { publishMessage } from "./publish-message.ts";

/** Makes a message of the will in `bytes`, a CONNECT. Null: memory is exhausted. */
export function createWill(
  context: BrokerContext,
  fields: WillFields,
  bytes: Uint8Array,
): Will | null {
  const { topicStart, topicEnd, payloadStart, payloadEnd, propertyRanges, qos } = fields;
  const isRetained = fields.isRetained && context.limits.retainAvailable === 1;
  const source = { bytes, topicStart, topicEnd, payloadStart, payloadEnd, propertyRanges, qos };
  const message = context.messages.create(
    Object.assign(new PublishFields(), { ...source, isRetained }),
  );
  if (message === 0) return null;
  const { delaySeconds, expirySeconds } = fields;
  const expiryMillis = expirySeconds < 0 ? NEVER : expirySeconds * 1000;
  return { message, delayMillis: delaySeconds * 1000, expiryMillis };
}

/**
 * Publishes a will on behalf of `session` [MQTT311-3.1.2-8] [MQTT-3.1.2-8]. Null: nothing to
 * publish.
 */
export function publishWill(context: BrokerContext, session: Session, will: Will | null): void {
  if (will !== null) publishWillOf(context, session.clientId, will, session);
}

/** Publishes the will of a client. `session`: null if it ended with an earlier process. */
export function publishWillOf(
  context: BrokerContext,
  clientId: string,
  will: Will,
  session: Session | null,
): void {
  // Before the queues record the message: its record lacks the expiry that begins now.
  context.records?.removeWill(clientId, will.message);
  context.counters[Counter.willsPublished]!++;
  if (will.expiryMillis !== NEVER) {
    context.messages.setExpiresAt(will.message, (context.now + will.expiryMillis) as Millis);
  }
  publishMessage(context, clientId, will.message, session);
}

/**
 * Publishes the will of a client that has disconnected: at once, or after its delay while the
 * session is kept.
 */
export function publishOrDelayWill(
  context: BrokerContext,
  session: Session,
  will: Will | null,
): void {
  if (will === null || will.delayMillis === 0) {
    publishWill(context, session, will);
    return;
  }
  session.will = will;
  const dueAt = (context.now + will.delayMillis) as Millis;
  context.sessions.scheduleWill(session, dueAt);
  context.records?.putWill(session.clientId, will, context.epochMillis + dueAt);
}

/**
 * Publishes the delayed will of a disconnected client, because its delay has passed or its session
 * ends.
 */
export function publishDelayedWill(context: BrokerContext, session: Session): void {
  const { will } = session;
  session.will = null;
  publishWill(context, session, will);
}

/**
 * Drops the delayed will of a client that reconnects before the delay has passed [MQTT-3.1.3-9].
 */
export function dropDelayedWill(context: BrokerContext, session: Session): void {
  if (session.will === null) return;
  context.records?.removeWill(session.clientId, session.will.message);
  context.messages.release(session.will.message);
  session.will = null;
}

/** Drops the will of a connection that ends normally. */
export function dropWill(context: BrokerContext, connection: Connection): void {
  if (connection.will === null) return;
  context.records?.removeWill(connection.clientId, connection.will.message);
  context.messages.release(connection.will.message);
  connection.will = null;
}
