/** A whole broker without sockets: from received bytes to bytes ready to be written. */
import type { Broker as BrokerType, ConnId, Millis, OutBuffer } from "../../core/mod.ts";
import { Broker, NO_CONN, parseLimits, Verdict } from "../../core/mod.ts";
import { connectPacket, publishPacket, subscribePacket } from "../lib/client.ts";
import type { MicroCase } from "./case.ts";
import { codecs } from "./codecs.ts";

const out: OutBuffer = { bytes: new Uint8Array(65_536), length: 0, tail: null };
const now = 0 as Millis;
const info = { transport: "local", remote: "bench", peer: null } as const;

function brokerOf(make: (typeof codecs)[0][1]): BrokerType {
  const codec = make();
  const limits = parseLimits({ sysMillis: 0, packetBytesMax: 2 ** 24 });
  return new Broker(
    {
      ...{ epochMillis: 0, serverName: "bench", durable: false, limits },
      responseInformation: null,
    },
    {
      ingest: codec.ingest,
      topics: codec.topics,
      policy: {
        authenticate: () => Verdict.Allow,
        publish: () => Verdict.Allow,
        subscribe: () => Verdict.Allow,
      },
      entropy: () => {},
    },
  );
}

function client(broker: BrokerType, id: string, ...packets: Uint8Array[]): ConnId {
  const conn = broker.handleOpen(info, now);
  for (const packet of [connectPacket(id), ...packets]) broker.handleBytes(conn, packet, now);
  drain(broker);
  return conn;
}

/** Polls all output; returns its length in bytes. */
function drain(broker: BrokerType): number {
  let bytes = 0;
  while (broker.pollSend(out, now) !== NO_CONN) bytes += out.length + (out.tail?.length ?? 0);
  return bytes;
}

/** `messages` from one publisher in one chunk; each of `subscribers` gets all of them. */
function deliveries(name: string, subscribers: number, messages: number, payloadBytes: number) {
  return codecs.map(
    ([impl, make]): MicroCase => ({
      name,
      impl,
      params: { subscribers, payloadBytes },
      ops: subscribers * messages,
      prepare: () => {
        const broker = brokerOf(make);
        for (let n = 0; n < subscribers; n++) client(broker, `s${n}`, subscribePacket("t/+", 0));
        const publisher = client(broker, "p");
        const packet = publishPacket("t/x", Buffer.alloc(payloadBytes), 0, 0);
        const chunk = Buffer.concat(Array.from({ length: messages }, () => packet));
        return () => {
          broker.handleBytes(publisher, chunk, now);
          return drain(broker);
        };
      },
    }),
  );
}

export const deliveryCases: readonly MicroCase[] = [
  ...deliveries("route cached, 1 → 1", 1, 1000, 16),
  ...deliveries("encode, 1 → 1", 1, 100, 256),
  ...deliveries("encode, 1 → 1", 1, 20, 4096),
  ...deliveries("fan-out, 1 → 1000", 1000, 20, 16),
];
