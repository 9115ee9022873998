/** What goes wrong between clients and the broker, on request. */
import { ConfigError, PacketType } from "../../core/mod.ts";

export type Direction = "toBroker" | "toClient";

/** A packet that can be dropped on its way. */
export type Droppable =
  | ("CONNACK" | "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP")
  | ("SUBACK" | "UNSUBACK" | "PINGRESP");

/** What goes wrong from the beginning of a connection. */
export interface FaultOptions {
  /** Its connection is refused: with this reason code in a CONNACK, or with true, by the transport. */
  readonly refuse?: number | true;
  /** Nothing goes through until it is released, both ways or one. */
  readonly stall?: Direction | true;
  /** It breaks after so many bytes. */
  readonly cutAfter?: Readonly<Partial<Record<Direction, number>>>;
  /** The first of each of these is lost. */
  readonly drop?: Droppable | readonly Droppable[];
}

/** What a connection does where faults say so. */
export interface FaultyConnection {
  cut(): void;
  /** What was stalled goes on, if it may. */
  goOn(): void;
  limit(direction: Direction, bytes: number): void;
}

/** Faults of one connection, or of all that are given them. */
export class Faults {
  readonly #connections = new Set<FaultyConnection>();
  readonly #stalled = new Set<Direction>();
  readonly #cutAfter = new Map<Direction, number>();
  #refusals: { readonly reason: number | null; count: number }[] = [];
  #drops: { readonly type: number; readonly direction: Direction | null; count: number }[] = [];

  constructor(options: FaultOptions = {}) {
    const { refuse, stall, cutAfter = {}, drop = [] } = options;
    if (refuse === true) this.refuse();
    else if (refuse !== undefined) this.refuse({ reason: refuse });
    if (stall !== undefined) this.stall(stall === true ? undefined : stall);
    for (const direction of both) {
      const bytes = cutAfter[direction];
      if (bytes !== undefined) this.cutAfter(bytes, direction);
    }
    for (const packet of typeof drop === "string" ? [drop] : drop) this.drop(packet);
  }

  /** Refuses the next connections: with a reason code in a CONNACK, or without one, by the transport. */
  refuse(options: { readonly reason?: number; readonly count?: number } = {}): this {
    const { reason = null, count = 1 } = options;
    if (reason !== null && !(Number.isInteger(reason) && reason >= 0x80 && reason <= 0xff)) {
      throw new ConfigError("reason", reason, "a reason code from 0x80 to 0xff");
    }
    this.#refusals.push({ reason, count: counted(count) });
    return this;
  }

  /** Nothing goes through until `release`: the transport takes nothing, and gives nothing. */
  stall(direction?: Direction): this {
    for (const one of directions(direction)) this.#stalled.add(one);
    return this;
  }

  release(direction?: Direction): this {
    for (const one of directions(direction)) this.#stalled.delete(one);
    for (const connection of [...this.#connections]) connection.goOn();
    return this;
  }

  /** Breaks the connections there are now. */
  cut(): this {
    for (const connection of [...this.#connections]) connection.cut();
    return this;
  }

  /** Breaks each connection after so many bytes more. */
  cutAfter(bytes: number, direction: Direction): this {
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new ConfigError("cutAfter", bytes, "a whole number of bytes");
    }
    directions(direction);
    this.#cutAfter.set(direction, bytes);
    for (const connection of [...this.#connections]) connection.limit(direction, bytes);
    return this;
  }

  /** Loses the next packets of a kind. Without a direction: whoever sends them. */
  drop(
    packet: Droppable,
    options: { readonly count?: number; readonly direction?: Direction } = {},
  ): this {
    const type = droppable[packet];
    if (type === undefined)
      throw new ConfigError("drop", packet, Object.keys(droppable).join(", "));
    const { count = 1, direction = null } = options;
    if (direction !== null) directions(direction);
    this.#drops.push({ type, direction, count: counted(count) });
    return this;
  }

  /** Nothing goes wrong any more. What was stalled goes on. */
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

  /** How a connection that opens is refused; null: it is not. @internal */
  takeRefusal(): { readonly reason: number | null } | null {
    const refusal = this.#refusals[0];
    if (refusal === undefined) return null;
    if (--refusal.count === 0) this.#refusals.shift();
    return refusal;
  }

  /** Whether a packet is lost. @internal */
  takesPacket(type: number, direction: Direction): boolean {
    const drop = this.#drops.find(
      (one) => one.type === type && (one.direction ?? direction) === direction,
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
  if (!both.includes(direction)) throw new ConfigError("direction", direction, both.join(", "));
  return [direction];
}

function counted(count: number): number {
  if (Number.isInteger(count) && count > 0) return count;
  throw new ConfigError("count", count, "a whole number from 1");
}
