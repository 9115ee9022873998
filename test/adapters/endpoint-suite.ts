/** What every runtime does about addresses: where it is reached, and from where. */
import { describe, expect, onTestFinished, test } from "vitest";
import { needs } from "../support/needs.ts";
import { connect } from "../support/packets.ts";
import { openSocket } from "../support/socket-client.ts";

export interface Endpoint {
  readonly addresses: Readonly<Record<"tcp" | "ws", string>>;
  /** What `authenticate` was told of each client as `client`, and "connected" as `info`, in order. */
  told(): Promise<readonly object[]>;
  stop(): Promise<void>;
}

/** `start` makes a broker with these options of `createBroker`, whose `authenticate` lets everybody in. */
export function endpointSuite(start: (options: object) => Promise<Endpoint>): void {
  const started = async (options: object = {}): Promise<Endpoint> => {
    const endpoint = await start(options);
    onTestFinished(() => endpoint.stop());
    return endpoint;
  };

  describe("the address of a peer", () => {
    for (const [transport, host, to, remote] of [
      ["tcp", "127.0.0.1", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
      ["ws", "127.0.0.1", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
      ["tcp", "::1", "[::1]", /^\[::1\]:\d+$/],
      ["ws", "::1", "[::1]", /^\[::1\]:\d+$/],
      ["tcp", "::", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
      ["ws", "::", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
    ] as const) {
      const needed = host.includes(":") ? needs("IPv6") : {};
      test(
        `over ${transport} to a listener at ${host}, by ${to}, is as people write it`,
        needed,
        async () => {
          const where = { host, port: 0 };
          const { addresses, told } = await started({ tcp: where, ws: where });
          const url = addresses[transport].replace(/\/\/(\[.*\]|[^:]*)/, `//${to}`);
          const client = await openSocket(url);
          client.send(connect());
          await client.takes(1);
          expect(await told()).toMatchObject([
            { client: { remote: expect.stringMatching(remote) } },
            { info: { transport, remote: expect.stringMatching(remote) } },
          ]);
        },
      );
    }
  });
}
