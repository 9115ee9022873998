/** A client of 5.0, and what it has been sent, decoded. */
import { expect } from "vitest";
import * as wire from "../conformance/wire.ts";
import type { TestBroker, TestClient } from "./broker.ts";

export class Five {
  readonly client: TestClient;
  readonly connack: wire.Packet;
  /** What came with the CONNACK. */
  #rest: wire.Packet[] = [];

  constructor(world: TestBroker, fields: wire.ConnectFields = {}) {
    this.client = world.open();
    this.client.send(wire.connect(5, { clientId: "five", ...fields }));
    const [connack, ...rest] = this.takes();
    expect(connack?.type).toBe("CONNACK");
    this.connack = connack!;
    this.#rest = rest;
  }

  send(...packets: Uint8Array[]): this {
    this.client.send(...packets);
    return this;
  }

  takes(): wire.Packet[] {
    return [...this.#rest.splice(0), ...packetsTo(this.client)];
  }

  /** What it was told with the end. */
  farewell(): number {
    const [packet] = this.takes();
    expect(packet?.type).toBe("DISCONNECT");
    expect(this.client.isOpen).toBe(false);
    return packet!.reason;
  }
}

/** The packets that came since the last time. */
export function packetsTo(client: TestClient, version: wire.Version = 5): wire.Packet[] {
  const packets: wire.Packet[] = [];
  let stream = client.takesBytes();
  for (;;) {
    const packet = wire.firstPacket(stream, version);
    if (packet === null) return packets;
    packets.push(packet);
    stream = stream.subarray(packet.bytes.length);
  }
}
