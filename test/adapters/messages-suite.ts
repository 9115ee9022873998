/** WebSocket messages contain complete packets in one frame, up to the length that clients accept. */
import { describe, expect, onTestFinished, test } from "vitest";
import { concat, connect, publish, split, subscribe } from "../support/packets.ts";
import { openRawTransport, openSocket } from "../support/socket-client.ts";
import type { Target } from "./suite.ts";

export function messagesSuite(target: Target): void {
  describe("WebSocket messages", () => {
    /** A subscriber to `a/#`, and a publisher. */
    async function pair(limits: Readonly<Record<string, number>> = {}) {
      const broker = await target.start(limits);
      onTestFinished(() => broker.stop());
      const publisher = await openSocket(broker.addresses.tcp);
      publisher.send(connect({ clientId: "p" }));
      await publisher.takes(1);
      const { socket, framed } = await openRawTransport(broker.addresses.ws);
      const reader = new FrameReader();
      socket.on("data", (chunk: Uint8Array) => reader.received(chunk));
      socket.write(framed(concat(connect({ clientId: "r" }), subscribe(1, ["a/#", 0]))));
      await reader.packets(2);
      return { publisher, reader, socket };
    }

    test.each([10, 1000, 16_383, 16_384, 65_535, 70_000, 200_000, 1_000_000, MESSAGE_BYTES - 9])(
      "a packet with a payload of %i bytes is one message in one frame",
      async (size) => {
        const { publisher, reader } = await pair();
        publisher.send(publish("a/b", new Uint8Array(size)));
        const [frame, ...others] = await reader.packets(1);
        expect(others).toEqual([]);
        expect(frame).toEqual({
          first: 0x82,
          length: publish("a/b", new Uint8Array(size)).length,
          packetCount: 1,
        });
      },
    );

    test("with a burst of many packets end at packet boundaries", async () => {
      const { publisher, reader } = await pair({ outputBytesMax: 67_108_864 });
      const sizes = Array.from(
        { length: 120 },
        (_, n) => [3, 700, 17_000, 5, 40_000, 300_000][n % 6]!,
      );
      publisher.send(concat(...sizes.map((size) => publish("a/b", new Uint8Array(size)))));
      const frames = await reader.packets(sizes.length);
      expect(frames.map(({ packetCount }) => packetCount)).not.toContain(-1);
      expect(new Set(frames.map(({ first }) => first))).toEqual(new Set([0x82]));
      expect(frames.length).toBeLessThan(sizes.length);
    });

    test("a packet is split over several messages only if it exceeds the maximum length of a message", async () => {
      const { publisher, reader } = await pair({ packetBytesMax: 4 * MESSAGE_BYTES });
      const [short, long] = ["short", new Uint8Array(2.5 * MESSAGE_BYTES)];
      publisher.send(concat(publish("a/b", short), publish("a/b", long), publish("a/b", short)));
      const frames = await reader.packets(3);
      expect(Math.max(...frames.map(({ length }) => length))).toBe(MESSAGE_BYTES);
      const total = frames.reduce((sum, { length }) => sum + length, 0);
      expect(total).toBe(2 * publish("a/b", short).length + publish("a/b", long).length);
      // The packets before and after it are complete in their messages.
      expect([frames[0]!.packetCount, frames.at(-1)!.packetCount > 0]).toEqual([1, true]);
    });
  });
}

interface Frame {
  /** The first byte of the frame: 0x82 is a complete binary message. */
  readonly first: number;
  readonly length: number;
  /** Count of MQTT packets in the frame; -1 if it does not begin and end at packet boundaries. */
  readonly packetCount: number;
}

/** Splits the bytes of a server into frames. */
class FrameReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #parts: Uint8Array[] = [];
  /** The number of bytes that the next frame lacks at least. */
  #missing = 2;
  #frames: Frame[] = [];
  /** The beginning of a packet that continues in the next frame. */
  #rest: Uint8Array = new Uint8Array(0);
  #packetCount = 0;
  #wake: (() => void) | null = null;

  received(chunk: Uint8Array): void {
    this.#parts.push(chunk);
    this.#missing -= chunk.length;
    if (this.#missing > 0) return;
    this.#bytes = concat(this.#bytes, ...this.#parts.splice(0));
    while (this.#takeFrame());
    this.#wake?.();
  }

  /** The frames until `count` packets are complete. */
  async packets(count: number): Promise<Frame[]> {
    while (this.#packetCount < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#packetCount = 0;
    return this.#frames.splice(0);
  }

  #takeFrame(): boolean {
    const bytes = this.#bytes;
    const short = bytes.length < 2 ? 0 : bytes[1]!;
    const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    this.#missing = headBytes - bytes.length;
    if (this.#missing > 0) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const length =
      headBytes === 2 ? short : headBytes === 4 ? view.getUint16(2) : Number(view.getBigUint64(2));
    this.#missing += length;
    if (this.#missing > 0) return false;
    this.#bytes = bytes.subarray(headBytes + length);
    const isBegin = this.#rest.length === 0;
    const { packets, rest } = split(
      concat(this.#rest, bytes.subarray(headBytes, headBytes + length)),
    );
    this.#rest = rest;
    this.#packetCount += packets.length;
    const packetCount = isBegin && rest.length === 0 ? packets.length : -1;
    this.#frames.push({ first: bytes[0]!, length, packetCount });
    return true;
  }
}

const MESSAGE_BYTES = 1_048_576;
