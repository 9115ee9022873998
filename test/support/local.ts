/** Brokers in the process, and the messages of their clients in words. */
import { onTestFinished } from "vitest";
import type { LocalBroker, LocalMessage } from "../../adapters/local/mod.ts";
import { createLocalBroker } from "../../adapters/local/mod.ts";
import { codecKind } from "./codecs.ts";

/** A broker that is closed at the end of the test. */
export function startLocal(options: Parameters<typeof createLocalBroker>[0] = {}): LocalBroker {
  const broker = createLocalBroker({ codec: codecKind, ...options });
  onTestFinished(() => broker.close(100));
  return broker;
}

/** Such as `a/b text q1 retain`. */
export const words = ({ topic, payload, qos, retain }: LocalMessage): string =>
  `${topic} ${new TextDecoder().decode(payload)} q${qos}${retain ? " retain" : ""}`;
