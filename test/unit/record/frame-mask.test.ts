import { describe, expect, test } from "vitest";
import { FrameMask } from "../../../adapters/record/frame-mask.ts";
import * as wire from "../../conformance/wire.ts";
import { concat, connect, pingreq, publish, subscribe } from "../../support/packets.ts";
import { Random } from "../../support/random.ts";

const PACKET_BYTES_MAX = 100_000;

/** The recorded bytes of a connection that receives these chunks. */
function masked(payloads: boolean, ...chunks: readonly Uint8Array[]): Uint8Array {
  const mask = new FrameMask(PACKET_BYTES_MAX, !payloads);
  return concat(
    ...chunks.map((chunk) => {
      // Within a larger buffer, whose other bytes must not be recorded.
      const buffer = concat(Uint8Array.of(0x10, 0xff), chunk, Uint8Array.of(0x10, 0xff));
      mask.mask(buffer, 2, 2 + chunk.length);
      for (const at of [0, buffer.length - 2]) {
        if (buffer[at] !== 0x10 || buffer[at + 1] !== 0xff) throw new Error("others were masked");
      }
      return buffer.slice(2, -2);
    }),
  );
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

const secrets = { clientId: "me", username: "ada", password: "secret" } as const;
const will = { topic: "will", payload: "gone" } as const;
const mqtt5 = wire.connect(5, {
  ...secrets,
  will: { topic: "will", payload: "gone", props: { ContentType: "t" } },
  props: {
    AuthenticationMethod: "M",
    AuthenticationData: new TextEncoder().encode("hush"),
    UserProperty: [["a", "b"]],
  },
} as never);

describe("the recorded bytes of a connection", () => {
  test.each([3, 4, 5] as const)("have no password, protocol level %i", (level) => {
    const bytes = wire.connect(level, { ...secrets, will });
    const result = masked(true, bytes);
    expect(text(result)).toBe(text(bytes).replace("secret", "xxxxxx"));
    expect(text(masked(false, bytes))).toBe(text(result).replace("gone", "xxxx"));
  });

  test.each([3, 4, 5] as const)("have no password of a bridge, protocol level %i", (level) => {
    const bytes = connect({ level, isBridge: true, username: "u", password: "secret" });
    const after = publish("a", "b");
    const result = text(masked(true, concat(bytes, after)));
    expect(result).toBe(text(concat(bytes, after)).replace("secret", "xxxxxx"));
  });

  test("have no authentication data, of CONNECT and of AUTH", () => {
    const props = { AuthenticationMethod: "M", AuthenticationData: Buffer.from("hush") };
    const bytes = concat(mqtt5, wire.auth(0x18, props));
    const result = text(masked(true, bytes));
    expect(result).toBe(text(bytes).replace("secret", "xxxxxx").replaceAll("hush", "xxxx"));
  });

  test("have no password of a second CONNECT", () => {
    const bytes = concat(connect(secrets), publish("a", "b"), connect(secrets));
    expect(text(masked(true, bytes))).not.toContain("secret");
  });

  test("have payloads only if they are requested, and everything else unchanged", () => {
    const long = publish("long", new Uint8Array(40_000).fill(0x61), { qos: 1, id: 7 });
    const bytes = concat(
      connect(),
      subscribe(1, ["a/#", 1]),
      publish("a", "hello"),
      pingreq,
      publish("b", "", { retain: true }),
      publish("q", "two", { qos: 2, id: 9 }),
      long,
    );
    expect(text(masked(true, bytes))).toBe(text(bytes));
    const bare = text(bytes).replace("hello", "xxxxx").replace("two", "xxx").replace(/a{9,}/, "");
    const result = text(masked(false, bytes));
    expect(result.replace(/x{9,}/, "")).toBe(bare);
    expect(result).toHaveLength(bytes.length);
  });

  test("keep whether a payload that declares UTF-8 is valid UTF-8", () => {
    const props = { PayloadFormatIndicator: 1, UserProperty: [["k", "v"]] } as const;
    const of = (payload: Uint8Array, more = {}): Uint8Array =>
      wire.publish(5, { topic: "t", payload, props: { ...props, ...more } } as never);
    const head = wire.connect(5, { clientId: "c" });
    const payloadOf = (payload: Uint8Array, cut: number): string => {
      const bytes = concat(head, of(payload));
      const result = masked(false, bytes.subarray(0, cut), bytes.subarray(cut));
      return text(result.subarray(-payload.length));
    };
    const umlaut = Buffer.from("a ä b");
    for (let cut = head.length; cut < head.length + 20; cut++) {
      expect(payloadOf(umlaut, cut)).toBe("xxxxxx");
      expect(payloadOf(Uint8Array.of(0x61, 0xc3, 0x61), cut)).toBe("xx\xff");
      expect(payloadOf(Uint8Array.of(0x61, 0x61, 0xc3), cut)).toBe("xx\xff");
    }
  });

  test("are masked from an invalid or too long packet on", () => {
    const malformed = Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01);
    const long = Uint8Array.of(0x30, 0xff, 0xff, 0x7f, 0x00, 0x01, 0x61);
    for (const bad of [malformed, long]) {
      const bytes = concat(connect(), bad, connect(secrets));
      const result = text(masked(true, bytes));
      expect(result).not.toContain("secret");
      expect(result.startsWith(text(concat(connect(), bad.subarray(0, 4))))).toBe(true);
      expect(result).toHaveLength(bytes.length);
    }
  });

  test("are masked to the end of a packet with an unknown protocol or with fields that do not fit", () => {
    const unknown = connect(secrets);
    unknown[8] = 9;
    expect(text(masked(true, unknown))).toBe(
      `${text(unknown.subarray(0, 9))}${"x".repeat(unknown.length - 9)}`,
    );
    const tooLong = connect(secrets);
    tooLong[12] = 0xff;
    expect(text(masked(true, tooLong, pingreq))).not.toContain("secret");
    expect(masked(true, tooLong, pingreq).subarray(-2)).toEqual(pingreq);
  });

  test("are the same for any split into chunks", () => {
    const random = new Random(7);
    const bytes = concat(
      mqtt5,
      wire.publish(5, { topic: "t", payload: "plain" } as never),
      wire.publish(5, { topic: "t", payload: "ä", props: { PayloadFormatIndicator: 1 } } as never),
      wire.auth(0x19, { AuthenticationMethod: "M", AuthenticationData: Buffer.from("hush") }),
      wire.publish(5, { topic: "u", payload: "long".repeat(5000), qos: 1, id: 3 } as never),
      pingreq,
      wire.publish(5, { topic: "v", payload: new Uint8Array(300), qos: 2, id: 4 } as never),
    );
    for (const payloads of [true, false]) {
      const whole = masked(payloads, bytes);
      expect(text(whole)).not.toMatch(/secret|hush/);
      expect(/gone|plain|long/.test(text(whole))).toBe(payloads);
      const single = masked(payloads, ...Array.from(bytes, (byte) => Uint8Array.of(byte)));
      expect(Buffer.compare(single, whole)).toBe(0);
      for (let n = 0; n < 50; n++) {
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; ) {
          const next = at + 1 + random.below(random.chance(2) ? 5 : 3000);
          chunks.push(bytes.subarray(at, next));
          at = next;
        }
        expect(Buffer.compare(masked(payloads, ...chunks), whole)).toBe(0);
      }
    }
  });
});
