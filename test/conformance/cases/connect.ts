/** CONNECT and CONNACK. */
import { bothVersions, mqtt5, mqtt311 } from "../harness.ts";
import * as wire from "../wire.ts";

bothVersions(
  "[MQTT311-3.1.4-4] [MQTT-3.1.4-5] [MQTT311-3.2.0-1] [MQTT-3.2.0-1] CONNACK is the first packet that answers a CONNECT",
  async (t) => {
    const client = await t.connect();
    t.equal(client.connack.reason, 0, "the code");
    await client.quiet();
  },
);

bothVersions(
  "[MQTT311-3.1.0-1] [MQTT-3.1.0-1] a first packet that is not CONNECT ends the connection",
  async (t) => {
    for (const packet of [
      wire.pingreq,
      wire.publish(t.version, { topic: t.topic() }),
      wire.ack(wire.Puback, 1),
    ]) {
      const client = await t.open();
      client.send(packet);
      await client.closed();
    }
  },
);

bothVersions(
  "[MQTT311-3.1.0-2] [MQTT-3.1.0-2] [MQTT-4.13.1-1] [MQTT311-4.8.0-1] a second CONNECT ends the connection",
  async (t) => {
    const client = await t.connect();
    client.send(wire.connect(t.version, { clientId: t.clientId() }));
    await client.closed(0x82);
  },
);

bothVersions(
  "[MQTT311-3.1.2-1] [MQTT-3.1.2-1] another protocol name ends the connection",
  async (t) => {
    const client = await t.open();
    client.sendHex(
      `10 0e 0004 4d515455 0${t.version} 02 0000 ${t.version === 5 ? "00 0001 63" : "0002 6363"}`,
    );
    const packet = await client.next();
    if (packet === null) return;
    t.ok(packet !== "silence" && packet.type === "CONNACK" && packet.reason >= 1, "refused");
    await client.closed();
  },
);

mqtt311(
  "[MQTT311-3.1.2-2] [MQTT311-3.2.2-5] the broker answers an unknown protocol level with return code 1 and closes the connection",
  async (t) => {
    for (const level of ["03", "06"]) {
      const client = await t.open();
      client.sendHex(`10 0d 0004 4d515454 ${level} 02 0000 0001 63`);
      t.equal((await client.expect("CONNACK")).reason, 1, `the return code for level ${level}`);
      await client.closed();
    }
  },
);

mqtt5("[MQTT-3.1.2-2] an unknown version is refused", async (t) => {
  const client = await t.open();
  client.sendHex("10 0e 0004 4d515454 06 02 0000 00 0001 63");
  // The version of the refusal, and whether there is one, is the broker's choice.
  await client.ends();
});

bothVersions("[MQTT311-3.1.2-3] [MQTT-3.1.2-3] the reserved flag has to be 0", async (t) => {
  const client = await t.open();
  const packet = wire.connect(t.version, { clientId: t.clientId() });
  packet[9]! |= 1;
  client.send(packet);
  await refused(t, client, 0x81);
});

bothVersions(
  "[MQTT311-3.1.4-1] [MQTT-3.1.4-1] [MQTT-4.13.2-1] a malformed CONNECT ends the connection",
  async (t) => {
    const whole = wire.connect(t.version, { clientId: "abc" });
    const damaged: Uint8Array[] = [
      // Cut in the middle of the client identifier.
      wire.packet(0x10, whole.subarray(2, whole.length - 1)),
      // With a byte after the last field.
      wire.packet(0x10, whole.subarray(2), [0]),
      // Empty.
      wire.packet(0x10),
    ];
    for (const packet of damaged) {
      const client = await t.open();
      client.send(packet);
      await refused(t, client, 0x81);
    }
  },
);

bothVersions("[MQTT311-3.1.2-14] [MQTT-3.1.2-12] a Will QoS of 3 is malformed", async (t) => {
  const client = await t.open();
  client.send(
    wire.connect(t.version, { clientId: t.clientId(), will: { topic: t.topic(), qos: 3 } }),
  );
  await refused(t, client, 0x81);
});

bothVersions(
  "[MQTT311-3.1.2-13] [MQTT-3.1.2-11] [MQTT311-3.1.2-11] [MQTT311-3.1.2-15] [MQTT-3.1.2-13] Will QoS and Will Retain without a will are malformed",
  (t) => refusesFlags(t, 0x08, 0x10, 0x20),
);

bothVersions(
  "[MQTT311-3.1.2-9] [MQTT-3.1.2-9] [MQTT311-3.1.2-19] [MQTT-3.1.2-17] [MQTT311-3.1.2-21] [MQTT-3.1.2-19] a CONNECT without a field that its flags announce is malformed",
  (t) => refusesFlags(t, 0x04, 0x80, 0xc0),
);

bothVersions(
  "[MQTT311-3.1.2-18] [MQTT-3.1.2-16] [MQTT311-3.1.2-20] [MQTT-3.1.2-18] a CONNECT with a field that its flags do not announce is malformed",
  async (t) => {
    for (const bit of [0x80, 0x40]) {
      const client = await t.open();
      const packet = wire.connect(t.version, {
        clientId: t.clientId(),
        username: "u",
        password: "p",
      });
      packet[9]! &= ~bit;
      client.send(packet);
      await refused(t, client);
    }
  },
);

mqtt311("[MQTT311-3.1.2-22] a password without a user name is malformed", async (t) => {
  const client = await t.open();
  client.send(wire.connect(4, { clientId: t.clientId(), password: "p" }));
  await client.closed();
});

bothVersions(
  "[MQTT311-3.1.3-1] [MQTT-3.1.3-1] the fields of the CONNECT payload are read in the specified order",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic("will"), 0);
    const fields = {
      will: { topic: t.topic("will"), payload: "w" },
      username: "user",
      password: "word",
    };
    const client = await t.open();
    client.send(wire.connect(t.version, { clientId: t.clientId(), ...fields }));
    const connack = await client.expect("CONNACK");
    t.needs(connack.reason === 0, "a user name that it does not know is refused");
    client.cut();
    await watcher.expectMessage("w");
  },
);

bothVersions(
  "[MQTT311-3.1.3-5] [MQTT-3.1.3-5] [MQTT311-3.1.3-3] [MQTT-3.1.3-3] client identifiers of 1 to 23 letters and digits are accepted",
  async (t) => {
    await t.connect({ clientId: `${t.clientId("q")}`.slice(0, 23) });
    await t.connect({
      clientId: `${t.clientId("ABCXYZabcxyz0189")}ABCDEFGHIJKLMNOPQRSTUVW`.slice(0, 23),
    });
  },
);

bothVersions(
  "[MQTT311-1.5.3-1] [MQTT-1.5.4-1] [MQTT311-3.1.3-4] [MQTT-3.1.3-4] [MQTT311-3.1.3-11] [MQTT-3.1.3-12] [MQTT311-3.1.3-10] [MQTT-3.1.3-11] ill-formed UTF-8 in any text of CONNECT ends the connection",
  async (t) => {
    for (const bad of ill) {
      for (const fields of [
        { clientId: bad },
        { clientId: t.clientId(), username: bad },
        { clientId: t.clientId(), will: { topic: bad } },
      ]) {
        const client = await t.open();
        client.send(wire.connect(t.version, fields));
        await refused(t, client);
      }
    }
  },
);

bothVersions("[MQTT311-1.5.3-2] [MQTT-1.5.4-2] U+0000 in a text ends the connection", async (t) => {
  const nul = Uint8Array.of(0x61, 0, 0x62);
  for (const fields of [{ clientId: nul }, { clientId: t.clientId(), will: { topic: nul } }]) {
    const client = await t.open();
    client.send(wire.connect(t.version, fields));
    await refused(t, client);
  }
});

mqtt311(
  "[MQTT311-3.1.3-8] [MQTT311-3.1.3-9] [MQTT311-3.2.2-4] an empty client identifier without Clean Session is rejected with return code 2",
  async (t) => {
    const client = await t.open();
    client.send(wire.connect(4, { clientId: "", clean: false }));
    const connack = await client.expect("CONNACK");
    t.equal([connack.reason, connack.flags], [2, 0], "return code and flags");
    await client.closed();
  },
);

mqtt311("[MQTT311-3.1.3-6] clients with empty identifiers are different clients", async (t) => {
  const first = await t.connect({ clientId: "" });
  const second = await t.connect({ clientId: "" });
  await first.quiet();
  await second.quiet();
});

mqtt5(
  "[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] a client with an empty identifier is assigned a new one, which CONNACK announces and which names its session",
  async (t) => {
    const first = await t.connect({ clientId: "", props: { SessionExpiryInterval: 100 } });
    const second = await t.connect({ clientId: "" });
    const assigned = first.connack.props["AssignedClientIdentifier"];
    const other = second.connack.props["AssignedClientIdentifier"];
    t.ok(typeof assigned === "string" && assigned !== "", "an identifier");
    t.ok(assigned !== other, "identifiers differ");
    first.send(wire.disconnect());
    await first.closed();
    const again = await t.connect({ clientId: assigned as string, clean: false });
    t.ok(again.connack.sessionPresent, "its session is found by it");
  },
);

mqtt5("[MQTT-3.1.3-8] a client identifier that is rejected gets 0x85", async (t) => {
  const client = await t.open();
  client.send(wire.connect(5, { clientId: "x".repeat(65_535) }));
  const packet = await client.next();
  t.needs(
    packet === null || (packet !== "silence" && packet.reason !== 0),
    "a limit on identifiers",
  );
  if (packet === null || packet === "silence") return;
  t.ok([0x85, 0x95].includes(packet.reason), "the code");
  await client.closed();
});

bothVersions(
  "[MQTT311-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-1] a clean start has Session Present 0",
  async (t) => {
    const clientId = t.clientId();
    const first = await t.connect({
      clientId,
      clean: false,
      props: { SessionExpiryInterval: 100 },
    });
    first.cut();
    await t.sleep(50);
    const second = await t.connect({ clientId, clean: true });
    t.equal(second.connack.flags, 0, "the flags");
  },
);

bothVersions(
  "[MQTT311-3.2.2-2] [MQTT-3.2.2-3] [MQTT311-3.2.2-3] Session Present is 1 if the broker has a session for the client, and 0 if it has none",
  async (t) => {
    const clientId = t.clientId();
    const kept = { clientId, clean: false, props: { SessionExpiryInterval: 100 } };
    const first = await t.connect(kept);
    t.equal(first.connack.sessionPresent, false, "at first");
    first.send(wire.disconnect());
    await first.closed();
    const second = await t.connect(kept);
    t.equal(second.connack.flags, 1, "then");
  },
);

bothVersions(
  "[MQTT311-3.1.4-2] [MQTT-3.1.4-3] [MQTT311-3.1.3-2] [MQTT-3.1.3-2] a second connection of a client takes over its session and closes the first connection",
  async (t) => {
    const clientId = t.clientId();
    const first = await t.connect({ clientId });
    const second = await t.connect({ clientId });
    await first.closed(0x8e);
    await second.quiet();
  },
);

mqtt5(
  "[MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8] [MQTT-3.1.4-2] a refusal is a CONNACK with a reason code of CONNACK and Session Present 0, and ends the connection",
  async (t) => {
    const client = await t.open();
    client.send(
      wire.connect(5, {
        clientId: t.clientId(),
        props: { AuthenticationMethod: "no such method" },
      }),
    );
    const connack = await client.expect("CONNACK");
    const codes = [0x80, 0x83, 0x87, 0x8c];
    t.ok(codes.includes(connack.reason), `0x${connack.reason.toString(16)} says so`);
    t.equal(connack.flags, 0, "the flags");
    await client.closed();
  },
);

bothVersions(
  "[MQTT311-3.1.4-5] [MQTT-3.1.4-6] packets after a refused CONNECT are not handled",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const client = await t.open();
    const refusedConnect = wire.connect(t.version, {
      clientId: t.clientId(),
      will: { topic: "#" },
    });
    client.send(refusedConnect, wire.publish(t.version, { topic: t.topic(), payload: "x" }));
    await refused(t, client);
    await watcher.quiet();
  },
);

mqtt5("[MQTT-3.2.0-2] only one CONNACK is sent", async (t) => {
  const client = await t.connect();
  for (let n = 0; n < 3; n++) await client.quiet();
});

mqtt5("[MQTT-3.1.2-28] Response Information comes only where it was asked for", async (t) => {
  const without = await t.connect({ props: { RequestResponseInformation: 0 } });
  t.equal(without.connack.props["ResponseInformation"], undefined, "without");
  await t.connect({ props: { RequestResponseInformation: 1 } });
});

mqtt5("[MQTT-2.2.2-1] a packet without properties says so with a length of 0", async (t) => {
  const client = await t.open();
  // A CONNECT that ends before its Property Length.
  client.send(wire.packet(0x10, wire.text("MQTT"), [5, 2, 0, 0]));
  await refused(t, client, 0x81);
});

const misused: Readonly<Record<string, readonly [props: string, code: number]>> = {
  "a property twice": ["11 00000001 11 00000001", 0x82],
  "Receive Maximum 0": ["21 0000", 0x82],
  "Maximum Packet Size 0": ["27 00000000", 0x82],
  "Request Problem Information 2": ["17 02", 0x82],
  "Request Response Information 2": ["19 02", 0x82],
  "Authentication Data without a method": ["16 0001 61", 0x82],
  "a property that CONNECT does not have": ["23 0001", 0x81],
  "a property that does not exist": ["04 00", 0x81],
  "a truncated value": ["11 0000", 0x81],
};
for (const [what, [props, code]] of Object.entries(misused)) {
  mqtt5(`[MQTT-4.13.1-1] CONNECT with ${what} is refused`, async (t) => {
    const client = await t.open();
    const bytes = props
      .replaceAll(" ", "")
      .match(/../g)!
      .map((byte) => Number.parseInt(byte, 16));
    client.send(
      wire.packet(
        0x10,
        wire.text("MQTT"),
        [5, 2, 0, 0, bytes.length, ...bytes],
        wire.text(t.clientId()),
      ),
    );
    await refused(t, client, code, code === 0x81 ? 0x82 : 0x81);
  });
}

mqtt5("[MQTT-1.5.7-1] both texts of a User Property are UTF-8", async (t) => {
  for (const pair of ["26 0001 ff 0001 61", "26 0001 61 0001 00"]) {
    const client = await t.open();
    const bytes = pair
      .replaceAll(" ", "")
      .match(/../g)!
      .map((byte) => Number.parseInt(byte, 16));
    client.send(
      wire.packet(
        0x10,
        wire.text("MQTT"),
        [5, 2, 0, 0, bytes.length, ...bytes],
        wire.text(t.clientId()),
      ),
    );
    await refused(t, client, 0x81, 0x82);
  }
});

mqtt5("[MQTT-1.5.5-1] a length in more bytes than it takes is malformed", async (t) => {
  const client = await t.open();
  client.send(
    wire.packet(0x10, wire.text("MQTT"), [5, 2, 0, 0, 0x80, 0x00], wire.text(t.clientId())),
  );
  await refused(t, client, 0x81, 0x82);
});

bothVersions(
  "[MQTT311-2.2.2-2] [MQTT311-2.2.2-1] [MQTT-2.1.3-1] reserved flags in CONNECT are malformed",
  async (t) => {
    const client = await t.open();
    const packet = wire.connect(t.version, { clientId: t.clientId() });
    packet[0] = 0x11;
    client.send(packet);
    await refused(t, client, 0x81);
  },
);

/** Ill-formed UTF-8: a lone byte, an overlong form, a surrogate, a truncated character. */
const ill: readonly Uint8Array[] = [
  Uint8Array.of(0x61, 0xff),
  Uint8Array.of(0xc0, 0x80),
  Uint8Array.of(0xed, 0xa0, 0x80),
  Uint8Array.of(0x61, 0xe2, 0x82),
];

import type { Client, Context } from "../harness.ts";

/** Expects the refusal of a CONNECT, otherwise valid, that has these connect flags too. */
async function refusesFlags(t: Context, ...flags: readonly number[]): Promise<void> {
  for (const flag of flags) {
    const client = await t.open();
    const packet = wire.connect(t.version, { clientId: t.clientId() });
    packet[9]! |= flag;
    client.send(packet);
    await refused(t, client, 0x81);
  }
}

/** Expects a refused CONNECT: the connection ends, in 5.0 perhaps after a CONNACK with the reason. */
async function refused(t: Context, client: Client, ...codes: readonly number[]): Promise<void> {
  const packet = await client.next();
  if (packet === null) return;
  if (packet === "silence") return t.ok(false, "the connection stays open");
  t.equal(
    packet.type,
    t.version === 5 && packet.type === "DISCONNECT" ? "DISCONNECT" : "CONNACK",
    "the answer",
  );
  t.ok(packet.reason > 0, "it is no success");
  t.equal(packet.flags, 0, "Session Present");
  if (t.version === 5 && codes.length > 0 && !codes.includes(packet.reason)) {
    t.ok(false, `0x${packet.reason.toString(16)} is not what names it`);
  }
  await client.closed();
}
