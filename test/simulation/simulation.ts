/**
 * A broker, its clients, their network, its store and its clock, in one thread and virtual time. Everything that
 * happens follows from one seed.
 *
 * Each step is one action of a client, the network, the store or the clock, or an end of the process.
 */
import { NO_CONN } from "../../core/mod.ts";
import { Random } from "../support/random.ts";
import { Client } from "./client.ts";
import * as packets from "./control-packets.ts";
import { Link, Sent } from "./link.ts";
import type { Message } from "./messages.ts";
import type { PlantedFault } from "./planted-faults.ts";
import type { Scenario } from "./scenario.ts";
import { scenarioOf } from "./scenario.ts";
import type { Filter } from "./topics.ts";
import { filters, topicNames } from "./topics.ts";
import type { Trace } from "./trace.ts";
import { check } from "./violation.ts";
import type { Packet } from "./wire.ts";
import { World } from "./world.ts";

export class Simulation {
  readonly random: Random;
  readonly scenario: Scenario;
  readonly world: World;
  readonly trace: Trace;
  readonly clients: readonly Client[];
  /** A client that connects when all faults have ended. */
  readonly auditor: Client;
  /** The retained messages that it has got. */
  readonly retained = new Map<number, Message>();
  published = 0;
  taken = 0;

  constructor(seed: number, fault: PlantedFault, trace: Trace) {
    this.random = new Random(seed);
    this.scenario = scenarioOf(this.random);
    this.trace = trace;
    this.world = new World(this.random, this.scenario, fault, trace);
    const { clientCount } = this.scenario;
    const { random } = this;
    this.clients = Array.from(
      { length: clientCount },
      (_, number) => new Client(number, random.chance(2) ? 5 : 4, this),
    );
    this.auditor = new Client(clientCount, 4, this);
  }

  run(steps: number): void {
    const { trace } = this;
    while (trace.step < steps) {
      const did = this.#step();
      if (did === 0) continue;
      trace.step++;
      trace.add(did, this.world.now);
    }
  }

  /** Tries one action; returns its number, or 0 if there was nothing to do. */
  #step(): number {
    const { random, world, scenario } = this;
    const choice = random.below(100);
    if (choice < 36) return this.#act(random.pick(this.clients)) ? 1 : 0;
    if (choice < 60) return this.#deliverUp(random.pick(this.clients)) ? 2 : 0;
    if (choice < 78) return this.#deliverDown(random.pick(this.clients)) ? 3 : 0;
    if (choice < 87) return world.send(1 + random.below(4)) ? 4 : 0;
    if (choice < 95) return this.#store() ? 5 : 0;
    if (choice < 98) {
      world.advance(this.#pause());
      return 6;
    }
    // Rare faults share the rest.
    if (random.chance(Math.ceil(scenario.cutSteps / 40))) return this.#cut() ? 7 : 0;
    if (random.chance(Math.ceil(scenario.stallSteps / 40))) return this.#stall() ? 8 : 0;
    if (random.chance(Math.ceil(scenario.crashSteps / 40))) return this.#crash();
    if (scenario.isClockSet && random.chance(20)) {
      world.setClock();
      return 10;
    }
    return 0;
  }

  #pause(): number {
    const { random } = this;
    if (!random.chance(10)) return random.below(20);
    return random.below(random.chance(10) ? 20_000 : 1500);
  }

  /** A client does something of its own accord. */
  #act(client: Client): boolean {
    const { random, world } = this;
    const { link } = client;
    if (link === null) return random.chance(3) && this.#connect(client);
    if (link.isHalfClosed) return false;
    if (!client.isConnected) return false;
    if (client.answerCount > 0 && random.chance(2)) {
      client.answer(1 + random.below(4));
      return true;
    }
    const choice = random.below(100);
    if (choice < 70) return this.#publish(client);
    if (choice < 90) return this.#subscribe(client);
    if (choice < 94) {
      link.send(PINGREQ);
      return true;
    }
    // The rest ends the connection.
    if (!random.chance(4)) return false;
    if (choice < 96) this.#disconnect(client);
    else if (choice < 97) world.kick(client.id);
    else if (choice < 98 && link.upBytes === 0) world.halfClose(link);
    else this.#abandon(client);
    return true;
  }

  #connect(client: Client): boolean {
    const { random, scenario } = this;
    const { level, number } = client;
    const isKept = random.below(100) < scenario.keptPercent;
    // MQTT 5.0 separates the two: a clean start may begin a session that is kept, and a session may be resumed to end.
    const isClean = isKept ? random.chance(20) : level === 4 || random.chance(2);
    const isFive = level === 5;
    const hasWill = random.below(100) < scenario.willPercent;
    return this.connect(client, {
      isClean,
      expirySeconds: isFive ? (isKept ? random.pick([1, 10, 600, 0xffff_ffff]) : 0) : -1,
      will: hasWill ? this.#message(number, true) : null,
      receiveMax: isFive && random.chance(3) ? 1 + random.below(4) : 0,
      topicAliasMax: isFive && random.chance(3) ? 2 : 0,
      willDelaySeconds: isFive && random.chance(2) ? random.pick([1, 5, 700]) : 0,
    });
  }

  connect(client: Client, options: packets.ConnectOptions): boolean {
    const { level, number } = client;
    const { sessionMillisMax, inflightMax } = this.scenario.limits;
    const { isClean, expirySeconds, will, receiveMax, willDelaySeconds } = options;
    const conn = this.world.open();
    if (conn === NO_CONN) return false;
    const asked = level === 5 ? expirySeconds * 1000 : isClean ? 0 : sessionMillisMax;
    const link = new Link(conn, number, level, options, {
      expiryMillis: Math.min(asked, sessionMillisMax),
      window: Math.min(inflightMax, receiveMax || 65_535),
    });
    this.world.add(link);
    client.link = link;
    link.send(packets.connect(level, client.idBytes, options));
    this.trace.log(
      () => `client ${number} connects by ${level}: clean ${isClean}, expiry ${link.expiryMillis}`,
    );
    if (will !== null) {
      const { number, topic, qos } = will;
      this.trace.log(
        () => `  will ${number} on ${topicNames[topic]} q${qos} after ${willDelaySeconds} s`,
      );
    }
    return true;
  }

  #message(publisher: number, isWill: boolean): Message {
    const { random, scenario, world } = this;
    const isRetained = random.below(100) < scenario.retainedPercent;
    const expires = random.below(100) < scenario.expiringPercent;
    const { level } = this.clients[publisher]!;
    let payloadBytes = 4 + random.below(20);
    if (isRetained && random.chance(5)) payloadBytes = 0;
    else if (!isWill && random.chance(200)) payloadBytes = 5000 + random.below(20_000);
    return world.messages.create({
      publisher,
      isRetained,
      isWill,
      payloadBytes,
      topic: random.below(topicNames.length),
      qos: random.pick([0, 1, 1, 2, 2]),
      expirySeconds: level === 5 && expires ? random.pick([1, 3, 60]) : -1,
    });
  }

  #publish(client: Client): boolean {
    const { limits } = this.scenario;
    const max = client.level === 5 ? Math.min(8, limits.receiveMax) : 8;
    if (client.outgoing.length >= max || client.link!.upBytes > 30_000) return false;
    this.publish(client, this.#message(client.number, false));
    return true;
  }

  publish(client: Client, message: Message): void {
    client.publish(message);
    this.published++;
    const { number, qos, topic } = message;
    this.trace.log(
      () =>
        `client ${client.number} publishes message ${number} on ${topicNames[topic]} q${qos}` +
        (message.isRetained ? " retain" : ""),
    );
  }

  #subscribe(client: Client): boolean {
    const { random } = this;
    const link = client.link!;
    if (link.operation !== null) return false;
    const id = client.nextId();
    const chosen = [this.#filter()];
    while (random.chance(3)) {
      const filter = this.#filter();
      if (!chosen.includes(filter)) chosen.push(filter);
    }
    if (random.chance(4)) {
      link.operation = { id, subscription: null, isConfirmed: false };
      link.send(packets.unsubscribe(client.level, id, chosen));
      this.trace.log(() => `client ${client.number} unsubscribes #${id} ${textOf(chosen)}`);
      return true;
    }
    const hasShared = chosen.some(({ isShared }) => isShared);
    const isFive = client.level === 5;
    const qos = hasShared ? 1 + random.below(2) : random.below(3);
    const identifier = isFive && random.chance(2) ? 1 + random.below(300) : 0;
    const isNoLocal = isFive && !hasShared && random.chance(5);
    const isRetainAsPublished = isFive && random.chance(8);
    const subscription = { qos, identifier, isNoLocal, isRetainAsPublished };
    link.operation = { id, subscription, isConfirmed: false };
    const retainHandling = isFive ? random.below(3) << 4 : 0;
    const flags = qos | (isNoLocal ? 4 : 0) | (isRetainAsPublished ? 8 : 0) | retainHandling;
    link.send(packets.subscribe(client.level, id, chosen, flags, identifier));
    this.trace.log(
      () => `client ${client.number} subscribes #${id} ${textOf(chosen)} q${qos} flags ${flags}`,
    );
    return true;
  }

  #filter(): Filter {
    const { random, scenario } = this;
    for (;;) {
      const filter = random.pick(filters);
      if (!filter.isShared || scenario.usesShared) return filter;
    }
  }

  #disconnect(client: Client): void {
    const { random } = this;
    const link = client.link!;
    const isFive = client.level === 5;
    const reason = isFive && random.chance(3) ? 4 : 0;
    const canChange = isFive && link.expiryMillis > 0 && random.chance(4);
    const expiry = canChange ? random.pick([0, 2, 1000]) : -1;
    const packet = packets.disconnect(client.level, reason, expiry);
    const granted = Math.min(expiry, this.scenario.limits.sessionMillisMax / 1000);
    link.send(packet, Sent.Disconnect, reason | ((granted + 1) << 8));
    this.trace.log(() => `client ${client.number} sends DISCONNECT ${reason}, expiry ${expiry}`);
    // It sends nothing more, and reads until the broker closes.
    link.isHalfClosed = true;
  }

  /** The client gives up a connection that the broker takes for open. */
  #abandon(client: Client): void {
    client.link!.isAbandoned = true;
    this.trace.log(() => `client ${client.number} gives up its connection`);
    client.handleClosed();
  }

  #deliverUp({ link }: Client): boolean {
    if (link === null || link.isClosed || link.upBytes === 0 || !link.isReading) return false;
    const { random, scenario } = this;
    const isSplit = random.below(100) < scenario.splitPercent;
    const byteCount = isSplit ? 1 + random.below(link.upBytes) : link.upBytes;
    this.world.deliver(link, Math.min(byteCount, 60_000));
    return true;
  }

  #deliverDown(client: Client): boolean {
    const { link } = client;
    if (link === null) return false;
    if (link.downCount > 0) {
      const count = 1 + this.random.below(link.downCount);
      for (let i = 0; i < count && client.link === link; i++) client.handlePacket(link.takeDown());
      return true;
    }
    if (!link.isClosed && !link.isClosing) return false;
    this.world.close(link);
    client.handleClosed();
    return true;
  }

  handleTaken(client: Client, packet: Packet): void {
    this.taken++;
    if (packet.message === 0) return;
    const message = this.world.messages.at(packet.message)!;
    if (client === this.auditor && packet.isRetained) this.retained.set(packet.topic, message);
    this.world.model.handleTaken(client.link!.session!, packet, message);
  }

  #store(): boolean {
    const { random, world, scenario } = this;
    if (world.hasStoreFailed) {
      // A supervisor starts the process again.
      if (random.chance(20)) this.#endProcess();
      return true;
    }
    if (random.chance(4) && world.answerLoad()) return true;
    if (random.chance(scenario.storeFaultSteps) && world.failLoad()) return true;
    if (!world.isCommitting) return world.beginCommit();
    if (random.below(100) < scenario.commitPercent) {
      if (random.chance(scenario.storeFaultSteps)) world.failCommit(random.chance(2));
      else world.endCommit();
    }
    return true;
  }

  /** A connection is cut: what is on its way is lost. */
  #cut(): boolean {
    const { links } = this.world;
    if (links.length === 0) return false;
    const link = this.random.pick(links);
    this.trace.log(() => `the connection of client ${link.client} is cut`);
    this.world.close(link);
    const client = this.clients[link.client]!;
    if (client.link === link) client.handleClosed();
    return true;
  }

  #stall(): boolean {
    const { links } = this.world;
    if (links.length === 0) return false;
    const link = this.random.pick(links);
    this.world.writable(link, !link.isWritable);
    return true;
  }

  #crash(): number {
    if (this.random.chance(5) && !this.world.hasStoreFailed) {
      this.world.stop();
      this.#loseConnections();
    } else {
      this.#endProcess();
    }
    return 9;
  }

  #endProcess(): void {
    this.world.crash();
    this.#loseConnections();
  }

  #loseConnections(): void {
    for (const client of this.clients) if (client.link !== null) client.handleClosed();
  }

  /** Takes all faults back. */
  mend(): void {
    const { world } = this;
    this.trace.log("all faults end");
    if (world.hasStoreFailed) this.#endProcess();
    for (const link of [...world.links]) {
      if (link.isAbandoned) world.close(link);
      else if (!link.isWritable) world.writable(link, true);
    }
  }

  /** Lets everything happen that can happen, except that time passes. */
  pump(): void {
    const { world } = this;
    for (let round = 0, isBusy = true; isBusy; round++) {
      check(round < 10_000, () => "the broker does not come to rest");
      isBusy = world.send(Number.POSITIVE_INFINITY);
      if (world.isCommitting || world.beginCommit()) {
        world.endCommit();
        isBusy = true;
      }
      while (world.answerLoad()) isBusy = true;
      world.advance(0);
      for (const client of [...this.clients, this.auditor]) {
        if (this.#deliverUp(client)) isBusy = true;
        if (this.#deliverDown(client)) isBusy = true;
        if (client.link === null || client.answerCount === 0) continue;
        client.answer(client.answerCount);
        isBusy = true;
      }
      for (const link of [...world.links])
        if (link.isClosing && link.isAbandoned) world.close(link);
    }
  }
}

function textOf(chosen: readonly Filter[]): string {
  return chosen.map(({ text }) => text).join();
}

const PINGREQ = Uint8Array.of(0xc0, 0);
