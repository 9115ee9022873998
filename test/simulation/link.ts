/** One connection: the bytes and packets on their way, and what both ends know about it. */
import type { ConnId } from "../../core/mod.ts";
import type { ConnectOptions } from "./control-packets.ts";
import type { Message } from "./messages.ts";
import type { Copy, SessionModel, Subscription } from "./session-model.ts";
import type { Level, Packet } from "./wire.ts";
import { PacketReader } from "./wire.ts";

/** The packets of a client that mean something to the model. */
export const Sent = {
  Other: 0,
  Publish: 1,
  Puback: 2,
  Pubrec: 3,
  Pubcomp: 4,
  Disconnect: 5,
} as const;

/** A packet on its way to the broker. */
export interface Note {
  /** Where it ends in the stream. */
  readonly end: number;
  readonly kind: number;
  /** The packet identifier. */
  readonly id: number;
  readonly message: Message | null;
}

/** A packet that the broker got and may not have handled. */
export interface Unhandled {
  readonly note: Note;
  /** The copy that it acknowledges; null: none. */
  readonly copy: Copy | null;
}

/** A SUBSCRIBE or an UNSUBSCRIBE without its acknowledgement. */
export interface Operation {
  readonly id: number;
  /** As requested. Null: UNSUBSCRIBE. */
  readonly subscription: Omit<Subscription, "since"> | null;
  isConfirmed: boolean;
}

export class Link {
  readonly conn: ConnId;
  /** The number of the client. */
  readonly client: number;
  readonly level: Level;
  readonly options: ConnectOptions;
  /** The session expiry interval that the broker grants. */
  readonly expiryMillis: number;
  readonly reader: PacketReader;
  /** How many QoS 1 and 2 messages the broker may send before an acknowledgement. */
  readonly window: number;

  /** The broker has accepted its CONNECT, and it has not ended. */
  isConnected = false;
  /** What the broker reported with it. */
  isPresent = false;
  /** The broker has sent the CONNACK. */
  isConfirmed = false;
  session: SessionModel | null = null;
  will: Message | null;
  /** The broker reads. */
  isReading = true;
  /** The transport takes bytes of the broker. */
  isWritable = true;
  /** The broker has asked to close the transport. */
  isClosing = false;
  /** The transport is gone. */
  isClosed = false;
  /** The client knows that it is gone, or has given it up. */
  isAbandoned = false;
  /** The client has closed its own side. */
  isHalfClosed = false;
  /** The reason code of a DISCONNECT that the broker got; -1: none. */
  disconnectReason = -1;
  disconnectExpiryMillis = -1;

  /** What the client has sent and the broker has not got. */
  #up: Uint8Array = new Uint8Array(512);
  #upStart = 0;
  #upEnd = 0;
  /** The position of `#upStart` in the stream. */
  #position = 0;
  #notes: Note[] = [];
  #nextNote = 0;
  /** Packets that the broker got while it did not read. */
  readonly unhandled: Unhandled[] = [];
  /** What the broker has sent and the client has not got. */
  readonly #down: Packet[] = [];
  #downStart = 0;

  /** PUBLISH packets that the broker got and did not acknowledge, by identifier, with the event. */
  readonly transmitted = new Map<number, { readonly message: Message; readonly event: number }>();
  operation: Operation | null = null;

  constructor(
    conn: ConnId,
    client: number,
    level: Level,
    options: ConnectOptions,
    granted: Granted,
  ) {
    this.conn = conn;
    this.client = client;
    this.level = level;
    this.options = options;
    this.will = options.will;
    this.expiryMillis = granted.expiryMillis;
    this.window = granted.window;
    this.reader = new PacketReader(level);
  }

  get upBytes(): number {
    return this.#upEnd - this.#upStart;
  }
  get downCount(): number {
    return this.#down.length - this.#downStart;
  }

  /** Room for a packet of at most `byteCount` bytes; `sent` tells where it ends. */
  room(byteCount: number): Uint8Array {
    if (this.#upEnd + byteCount > this.#up.length) {
      const live = this.#up.subarray(this.#upStart, this.#upEnd);
      const next = live.length + byteCount > this.#up.length ? (live.length + byteCount) * 2 : 0;
      if (next > 0) {
        const grown = new Uint8Array(next);
        grown.set(live);
        this.#up = grown;
      } else {
        this.#up.copyWithin(0, this.#upStart, this.#upEnd);
      }
      this.#upEnd -= this.#upStart;
      this.#upStart = 0;
    }
    return this.#up;
  }
  get roomStart(): number {
    return this.#upEnd;
  }
  sent(end: number, kind: number, id: number, message: Message | null): void {
    this.#upEnd = end;
    this.#notes.push({ end: this.#position + end - this.#upStart, kind, id, message });
  }

  send(packet: Uint8Array, kind: number = Sent.Other, id = 0): void {
    const room = this.room(packet.length);
    room.set(packet, this.roomStart);
    this.sent(this.roomStart + packet.length, kind, id, null);
  }

  /** Takes the next bytes for the broker: a view. */
  takeUp(byteCount: number): Uint8Array {
    const start = this.#upStart;
    this.#upStart += byteCount;
    this.#position += byteCount;
    return this.#up.subarray(start, start + byteCount);
  }

  /** The next packet whose last byte has been taken; null: none. */
  nextNote(): Note | null {
    const note = this.#notes[this.#nextNote];
    if (note === undefined || note.end > this.#position) return null;
    if (++this.#nextNote === this.#notes.length) {
      this.#notes.length = 0;
      this.#nextNote = 0;
    }
    return note;
  }

  get down(): Packet[] {
    return this.#down;
  }
  takeDown(): Packet {
    const packet = this.#down[this.#downStart++]!;
    if (this.#downStart === this.#down.length) {
      this.#down.length = 0;
      this.#downStart = 0;
    }
    return packet;
  }
}

export interface Granted {
  readonly expiryMillis: number;
  readonly window: number;
}
