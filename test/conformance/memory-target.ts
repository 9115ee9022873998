/** The core in memory and in virtual time, as a broker under test. */
import { ComposedPolicy } from "../../adapters/auth/policy.ts";
import { EffectKind, type LimitName } from "../../core/mod.ts";
import { TestBroker } from "../support/broker.ts";
import type { Target } from "./harness.ts";

export const user = { name: "user", password: "word" };
/**
 * A Receive Maximum and a Maximum Packet Size that a case can reach while others run, a $SYS interval shorter than a
 * case, and the client identifier length of 3.1.
 */
export const limits: Partial<Record<LimitName, number>> = {
  receiveMax: 100,
  packetBytesMax: 1_048_576,
  sysMillis: 100,
  clientIdLengthCheck: 1,
};

/** A broker of its own. */
export function memoryTarget(): Target {
  const users = { [user.name]: user.password };
  const policy = new ComposedPolicy(
    { users, allowAnonymous: true },
    (a, b) => Buffer.compare(a, b) === 0,
  );
  const world = new TestBroker({
    limits,
    policy: {
      authenticate: (request) => policy.authenticate(request),
    },
    responseInformation: "answers/",
  });
  const decide = async (): Promise<void> => {
    for (
      let request = world.requests.shift();
      request !== undefined;
      request = world.requests.shift()
    ) {
      const { conn } = request;
      const decision = await policy.decide(request);
      world.broker.handleDecision(conn, decision, world.now);
      world.drain();
    }
  };
  return {
    name: "memory",
    user,
    patienceMillis: 0,
    explains: true,
    sleep: (millis) => {
      world.advance(millis);
      return Promise.resolve();
    },
    connect: () => {
      const client = world.open();
      return Promise.resolve({
        send: (bytes) => {
          if (client.isOpen) client.send(bytes);
        },
        read: async () => {
          await decide();
          const bytes = client.takesBytes();
          if (bytes.length > 0) return bytes;
          return client.isOpen ? "silence" : null;
        },
        cut: () => {
          if (client.ended === EffectKind.None) client.cut();
        },
      });
    },
  };
}
