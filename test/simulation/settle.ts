/** The end of a run: all faults stop, everything that is owed arrives, and nothing is left. */
import type { CounterName } from "../../core/mod.ts";
import { Counter } from "../../core/mod.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./control-packets.ts";
import * as packets from "./control-packets.ts";
import { Sent } from "./link.ts";
import type { Message } from "./messages.ts";
import { mayBeExpired } from "./messages.ts";
import type { Simulation } from "./simulation.ts";
import { tables } from "./store.ts";
import { filterOf, filters, topicNames } from "./topics.ts";
import { check, Violation } from "./violation.ts";

export function settle(simulation: Simulation): void {
  simulation.mend();
  simulation.pump();
  resumeSessions(simulation);
  checkOwed(simulation);
  checkQos0(simulation);
  checkRetained(simulation);
  endSessions(simulation);
  checkNothingIsLeft(simulation);
}

/** Every session that is there gets its client. */
function resumeSessions(simulation: Simulation): void {
  const { world, clients } = simulation;
  for (const client of clients) {
    if (client.link !== null || world.model.clients[client.number]!.session === null) continue;
    simulation.connect(client, { ...options(client), isClean: false });
  }
  simulation.pump();
}

function options({ level }: Client): ConnectOptions {
  return {
    ...{ isClean: true, will: null, receiveMax: 0, topicAliasMax: 0, willDelaySeconds: 0 },
    expirySeconds: level === 5 ? 600 : -1,
  };
}

function checkOwed({ world, clients }: Simulation): void {
  const { model, unixMillis } = world;
  const isMissing = (message: Message): boolean => !mayBeExpired(message, unixMillis);
  for (const client of clients) {
    const { session } = model.clients[client.number]!;
    const unanswered = client.link === null ? undefined : client.outgoing[0]?.message;
    if (unanswered !== undefined) {
      throw new Violation("the publisher gets no acknowledgement", unanswered.number);
    }
    if (session === null) continue;
    for (const message of session.owed) {
      if (!isMissing(message)) continue;
      throw new Violation(`client ${client.number} does not get a message`, message.number);
    }
    for (const [id, { message, isForgotten, mayBeAcknowledged }] of session.inUse) {
      if (isForgotten || mayBeAcknowledged) continue;
      throw new Violation(`the flow of identifier ${id} does not end`, message.number);
    }
  }
  for (const [number, owed] of model.owedShared.entries()) {
    for (const message of owed) {
      if (!isMissing(message)) continue;
      throw new Violation(`no member of ${filters[number]!.text} gets a message`, message.number);
    }
  }
  expectCounters(world.broker.counters, ["inflight", "queued", "outputBytes"]);
}

/** Connected clients get messages at QoS 0. */
function checkQos0(simulation: Simulation): void {
  const { world, clients } = simulation;
  const publisher = clients.find(({ link }) => link !== null);
  if (publisher === undefined) return;
  for (const topic of topicNames.keys()) {
    const message = world.messages.create({
      ...{ publisher: publisher.number, topic, qos: 0, isRetained: false, isWill: false },
      ...{ expirySeconds: -1, payloadBytes: 4 },
    });
    simulation.publish(publisher, message);
    simulation.pump();
    for (const { number, link } of clients) {
      const { session } = world.model.clients[number]!;
      if (link === null || session === null) continue;
      if (session.grantedBefore(message, message.firstAt) < 0) continue;
      const isTaken = session.hasTaken(message);
      check(isTaken, () => `client ${number} does not get a QoS 0 message`, message.number);
    }
  }
}

/** A new subscriber finds the retained message of each topic. */
function checkRetained(simulation: Simulation): void {
  const { world, auditor, retained } = simulation;
  simulation.connect(auditor, options(auditor));
  simulation.pump();
  const subscription = { qos: 1, identifier: 0, isNoLocal: false, isRetainAsPublished: false };
  const operation = { id: 1, subscription, isConfirmed: false };
  auditor.link!.operation = operation;
  auditor.link!.send(packets.subscribe(4, 1, [filterOf.get("#")!], 1, 0));
  simulation.pump();
  for (const [topic, name] of topicNames.entries()) {
    const message = retained.get(topic) ?? null;
    check(
      world.model.retained.mayBe(topic, message, world.unixMillis),
      () => {
        const candidates = world.model.retained.candidates(topic);
        return `retains ${message?.number ?? "nothing"} on ${name}, not one of ${candidates}`;
      },
      message?.number ?? world.model.retained.candidates(topic)[0] ?? 0,
    );
  }
}

/** All clients end their sessions, and the retained messages are removed. */
function endSessions(simulation: Simulation): void {
  const { world, clients, auditor } = simulation;
  for (const client of clients) {
    if (client.link !== null) disconnect(client);
    simulation.pump();
    simulation.connect(client, { ...options(client), expirySeconds: client.level === 5 ? 0 : -1 });
    simulation.pump();
    disconnect(client);
    simulation.pump();
  }
  for (const topic of topicNames.keys()) {
    const message = world.messages.create({
      ...{ publisher: auditor.number, topic, qos: 1, isRetained: true, isWill: false },
      ...{ expirySeconds: -1, payloadBytes: 0 },
    });
    simulation.publish(auditor, message);
    simulation.pump();
  }
  disconnect(auditor);
  simulation.pump();
}

function disconnect(client: Client): void {
  const link = client.link!;
  link.send(packets.disconnect(client.level, 0, -1), Sent.Disconnect, 0);
}

function checkNothingIsLeft({ world }: Simulation): void {
  const { counters } = world.broker;
  expectCounters(counters, [
    ...(["clientsConnected", "sessions", "subscriptions", "sharedSubscriptions"] as const),
    ...(["sharedMembers", "messages", "retainedMessages"] as const),
    ...(["retainedBytes", "outputBytes", "inputBytes", "inflight", "queued"] as const),
    ...(["eventsDropped", "droppedQueueFull", "droppedNoMemory", "retainedRefused"] as const),
    ...(["messagesPaged", "storeBytes", "droppedStoreFull", "droppedLost"] as const),
  ]);
  const open = counters[Counter.connectionsOpened]! - counters[Counter.connectionsClosed]!;
  check(open === 0, () => `${open} connections are open`);
  for (const table of tables) {
    const count = world.store.count(table);
    check(count === 0, () => `the store has ${count} records in table ${table}`);
  }
}

function expectCounters(counters: Float64Array, names: readonly CounterName[]): void {
  for (const name of names) {
    const value = counters[Counter[name]]!;
    check(value === 0, () => `the counter ${name} is ${value}`);
  }
}
