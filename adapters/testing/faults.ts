/** Faults between clients and the broker, on request. */
import { ConfigError, PacketType } from "../../core/mod.ts";
import { checkWhole, isWhole } from "../checks.ts";
import type { Names } from "../options.ts";
import { checkOptions } from "../options.ts";

export type Direction = "toBroker" | "toClient";

/** A packet that can be dropped in transit. */
export type Droppable =
  | ("CONNACK" | "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP")
  | ("SUBACK" | "UNSUBACK" | "PINGRESP");

/** Faults from the beginning of a connection. */
export interface FaultOptions {
  /** The connection is refused: with this reason code in CONNACK; true: by the transport. */
  readonly refuse?: number | true;
  /** No bytes pass until `release`, in one direction or (true) in both. */
  readonly stall?: Direction | true;
  /** The connection breaks after this many bytes. */
  readonly cutAfter?: Readonly<Partial<Record<Direction, number>>>;
  /** The first packet of each of these types is lost. */
  readonly drop?: Droppable | readonly Droppable[];
}

/** The actions of a connection that faults control. */
export interface FaultyConnection {
  cut(): void;
  /** Passes on stalled bytes, in the directions that are not stalled any more. */
  resumeStalled(): void;
  limit(direction: Direction, bytes: number): void;
}

/** Faults of one connection, or of all connections that share this object. */
export class Faults {
  readonly #connections = new Set<FaultyConnection>();
  readonly #stalled = new Set<Direction>();
  readonly #cutAfter = new Map<Direction, number>();
  #refusals: { readonly reason: number | null; count: number }[] = [];
  #drops: { readonly type: number; readonly direction: Direction | null; count: number }[] = [];

  /** Throws ConfigError for invalid options, like all methods. */
  constructor(options: FaultOptions = {}) {
    checkOptions<FaultOptions>("options", options, faultNames);
    const { refuse, stall, cutAfter = {}, drop = [] } = options;
    checkOptions("cutAfter", cutAfter, { toBroker: true, toClient: true });
    if (refuse === true) this.refuse();
    else if (refuse !== undefined) this.refuse({ reason: refuse });
    if (stall !== undefined) this.stall(stall === true ? undefined : stall);
    for (const [direction, bytes] of Object.entries(cutAfter)) {
      if (bytes !== undefined) this.cutAfter(bytes, direction as Direction);
    }
    for (const packet of Array.isArray(drop) ? drop : [drop]) this.drop(packet);
  }

  /** Refuses the next connections: with a reason code in CONNACK; without a reason code by the transport. */
  refuse(options: { readonly reason?: number; readonly count?: number } = {}): this {
    checkOptions("options", options, { reason: true, count: true });
    const { reason, count = 1 } = options;
    if (reason !== undefined && !isWhole(reason, 0x80, 0xff)) {
      throw new ConfigError("reason", reason, "a reason code from 0x80 to 0xff");
    }
    checkWhole("count", count, 1, Number.MAX_SAFE_INTEGER);
    this.#refusals.push({ reason: reason ?? null, count });
    return this;
  }

  /** No bytes pass until `release`: the transport accepts none and delivers none. */
  stall(direction?: Direction): this {
    for (const each of directions(direction)) this.#stalled.add(each);
    return this;
  }

  release(direction?: Direction): this {
    for (const each of directions(direction)) this.#stalled.delete(each);
    for (const connection of [...this.#connections]) connection.resumeStalled();
    return this;
  }

  /** Breaks the current connections. */
  cut(): this {
    for (const connection of [...this.#connections]) connection.cut();
    return this;
  }

  /** Breaks each connection after this many further bytes. */
  cutAfter(bytes: number, direction: Direction): this {
    checkWhole("cutAfter", bytes, 0, Number.MAX_SAFE_INTEGER);
    checkDirection(direction);
    this.#cutAfter.set(direction, bytes);
    for (const connection of [...this.#connections]) connection.limit(direction, bytes);
    return this;
  }

  /** Loses the next packets of a type. Without a direction: in both directions. */
  drop(
    packet: Droppable,
    options: { readonly count?: number; readonly direction?: Direction } = {},
  ): this {
    if (!Object.hasOwn(droppable, packet)) {
      throw new ConfigError("drop", packet, Object.keys(droppable).join(", "));
    }
    checkOptions("options", options, { count: true, direction: true });
    const { count = 1, direction } = options;
    if (direction !== undefined) checkDirection(direction);
    checkWhole("count", count, 1, Number.MAX_SAFE_INTEGER);
    this.#drops.push({ type: droppable[packet], direction: direction ?? null, count });
    return this;
  }

  /** Ends all faults. Stalled bytes pass. */
  clear(): this {
    this.#refusals = [];
    this.#drops = [];
    this.#cutAfter.clear();
    for (const connection of this.#connections) {
      for (const direction of both) connection.limit(direction, Number.POSITIVE_INFINITY);
    }
    return this.release();
  }

  /** @internal */
  isStalled(direction: Direction): boolean {
    return this.#stalled.has(direction);
  }

  /** @internal */
  bytesMax(direction: Direction): number {
    return this.#cutAfter.get(direction) ?? Number.POSITIVE_INFINITY;
  }

  /** The refusal of a connection that opens; null: none. @internal */
  takeRefusal(): { readonly reason: number | null } | null {
    const refusal = this.#refusals[0];
    if (refusal === undefined) return null;
    if (--refusal.count === 0) this.#refusals.shift();
    return refusal;
  }

  /** Whether a packet is lost. @internal */
  dropsPacket(type: number, direction: Direction): boolean {
    const drop = this.#drops.find(
      (candidate) => candidate.type === type && (candidate.direction ?? direction) === direction,
    );
    if (drop === undefined) return false;
    if (--drop.count === 0) this.#drops.splice(this.#drops.indexOf(drop), 1);
    return true;
  }

  /** @internal */
  attach(connection: FaultyConnection): void {
    this.#connections.add(connection);
  }

  /** @internal */
  detach(connection: FaultyConnection): void {
    this.#connections.delete(connection);
  }
}

const faultNames: Names<FaultOptions> = { refuse: true, stall: true, cutAfter: true, drop: true };

const droppable: Readonly<Record<Droppable, number>> = {
  CONNACK: PacketType.Connack,
  PUBACK: PacketType.Puback,
  PUBREC: PacketType.Pubrec,
  PUBREL: PacketType.Pubrel,
  PUBCOMP: PacketType.Pubcomp,
  SUBACK: PacketType.Suback,
  UNSUBACK: PacketType.Unsuback,
  PINGRESP: PacketType.Pingresp,
};

const both: readonly Direction[] = ["toBroker", "toClient"];

function directions(direction: Direction | undefined): readonly Direction[] {
  if (direction === undefined) return both;
  checkDirection(direction);
  return [direction];
}

function checkDirection(direction: Direction): void {
  if (!both.includes(direction)) throw new ConfigError("direction", direction, both.join(", "));
}
