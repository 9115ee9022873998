/** Enhanced authentication. */
import { type Client, type Context, mqtt5, NotSupported } from "../harness.ts";
import { ScramClient } from "../scram-client.ts";
import * as wire from "../wire.ts";

const method = "SCRAM-SHA-256";

mqtt5(
  "[MQTT-4.12.0-1] the broker refuses an authentication method that it does not support, and closes the connection",
  async (t) => {
    const client = await t.open();
    client.send(
      wire.connect(5, { clientId: t.clientId(), props: { AuthenticationMethod: "none such" } }),
    );
    const packet = await client.next();
    if (packet === null) return;
    t.ok(packet !== "silence" && [0x8c, 0x87].includes(packet.reason), "the code");
    await client.closed();
  },
);

mqtt5(
  "[MQTT-4.12.0-6] without an Authentication Method in CONNECT, the broker sends no AUTH and no Authentication Method",
  async (t) => {
    const client = await t.connect();
    t.equal(client.connack.props["AuthenticationMethod"], undefined, "the method");
    await client.quiet();
  },
);

mqtt5("[MQTT-4.12.0-7] AUTH without an authentication method is an error", async (t) => {
  const client = await t.connect();
  client.send(wire.auth(0x19, { AuthenticationMethod: method }));
  await client.closed(0x82);
});

mqtt5("[MQTT-3.15.1-1] reserved flags in AUTH are malformed", async (t) => {
  const client = await t.connect();
  client.sendHex("f1 02 19 00");
  await client.closed(0x81);
});

mqtt5("[MQTT-3.15.2-1] AUTH with a code that it has not is malformed", async (t) => {
  const client = await t.connect();
  client.send(wire.auth(0x04, { AuthenticationMethod: method }));
  await client.closed(0x81, 0x82);
});

mqtt5(
  "[MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.15.2-1] [MQTT-3.15.2-2] [MQTT-3.15.2-3] an exchange of challenges ends in CONNACK, and each of its packets has the method",
  async (t) => {
    const { user } = t.target;
    t.needs(user !== null, "a user to authenticate (--username, --password)");
    const scram = new ScramClient(user!.name, user!.password);
    const client = await answerChallenge(t, scram);
    const connack = await client.expect("CONNACK");
    t.equal([connack.reason, connack.props["AuthenticationMethod"]], [0, method], "CONNACK");
    t.ok(
      await scram.isServer(connack.props["AuthenticationData"] as Uint8Array),
      "the broker knows the password too",
    );
    // A second exchange, by a client that supports channel binding and learns that the broker does not.
    const again = new ScramClient(user!.name, user!.password, "y,,");
    client.send(
      wire.auth(0x19, { AuthenticationMethod: method, AuthenticationData: again.first() }),
    );
    const second = await client.expect("AUTH");
    t.equal(second.reason, 0x18, "the code");
    const proof = await again.answer(second.props["AuthenticationData"] as Uint8Array);
    client.send(wire.auth(0x18, { AuthenticationMethod: method, AuthenticationData: proof }));
    t.equal((await client.expect("AUTH")).reason, 0, "the code of the last AUTH");
    await client.quiet();
  },
);

mqtt5(
  "[MQTT-4.12.0-4] [MQTT-4.12.1-2] [MQTT-4.12.1-1] a failed authentication exchange ends the connection, before CONNACK and after it",
  async (t) => {
    const { user } = t.target;
    t.needs(user !== null, "a user to authenticate (--username, --password)");
    const start = (password: string): Promise<Client> =>
      answerChallenge(t, new ScramClient(user!.name, password));
    const wrong = await start(`${user!.password}?`);
    const refusal = await wrong.next();
    t.ok(refusal === null || (refusal !== "silence" && refusal.reason >= 0x80), "a refusal");
    if (refusal !== null) await wrong.closed();
    const other = await start(user!.password);
    t.equal((await other.expect("CONNACK")).reason, 0, "the code");
    other.send(
      wire.auth(0x19, { AuthenticationMethod: "another", AuthenticationData: Uint8Array.of(1) }),
    );
    await other.closed(0x82, 0x87, 0x8c);
    const forgetful = await start(user!.password);
    t.equal((await forgetful.expect("CONNACK")).reason, 0, "the code");
    const scram = new ScramClient(user!.name, `${user!.password}?`);
    const say = (reason: number, AuthenticationData: Uint8Array) =>
      forgetful.send(wire.auth(reason, { AuthenticationMethod: method, AuthenticationData }));
    say(0x19, scram.first());
    const { props } = await forgetful.expect("AUTH");
    say(0x18, await scram.answer(props["AuthenticationData"] as Uint8Array));
    await forgetful.closed(0x87);
  },
);

mqtt5("[MQTT-3.14.0-1] [MQTT-3.1.2-30] no DISCONNECT comes before CONNACK", async (t) => {
  const client = await t.open();
  client.send(wire.connect(5, { clientId: t.clientId(), props: { ReceiveMaximum: 0 } }));
  const packet = await client.next();
  t.ok(
    packet === null || (packet !== "silence" && packet.type === "CONNACK"),
    "CONNACK or the end",
  );
});

/** A client that has sent CONNECT and answered the challenge. Ends the case if the broker does not have the method. */
async function answerChallenge(t: Context, scram: ScramClient): Promise<Client> {
  const client = await t.open();
  const props = { AuthenticationMethod: method, AuthenticationData: scram.first() };
  client.send(wire.connect(5, { clientId: t.clientId(), props }));
  const challenge = await client.next();
  if (challenge === null || challenge === "silence" || challenge.type !== "AUTH") {
    throw new NotSupported(`the method ${method}`);
  }
  t.equal([challenge.reason, challenge.props["AuthenticationMethod"]], [0x18, method], "AUTH");
  const data = await scram.answer(challenge.props["AuthenticationData"] as Uint8Array);
  client.send(wire.auth(0x18, { AuthenticationMethod: method, AuthenticationData: data }));
  return client;
}
