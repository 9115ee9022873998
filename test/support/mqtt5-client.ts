/** An MQTT 5.0 client of a test broker, which decodes the packets that it receives. */
import { expect } from "vitest";
import * as wire from "../conformance/wire.ts";
import type { TestBroker, TestClient } from "./broker.ts";

export class Mqtt5Client {
  readonly client: TestClient;
  readonly connack: wire.Packet;
  /** The packets that arrived in the same chunk as the CONNACK. */
  #rest: wire.Packet[] = [];

  constructor(world: TestBroker, fields: wire.ConnectFields = {}) {
    this.client = world.open();
    this.client.send(wire.connect(5, { clientId: "mqtt5", ...fields }));
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

  /** The reason code of the DISCONNECT with which the broker closed the connection. */
  disconnectReason(): number {
    const [packet] = this.takes();
    expect(packet?.type).toBe("DISCONNECT");
    expect(this.client.isOpen).toBe(false);
    return packet!.reason;
  }
}

/** The packets that arrived since the last call. */
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
