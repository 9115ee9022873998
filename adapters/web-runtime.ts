/** The part of a runtime that Bun and Deno share: all of it except the listeners. */
import type { Runtime } from "./broker-server.ts";
import type { OutBuffers } from "./out-buffers.ts";
import { version } from "./version.ts";
import { isSame, memoryBytes, webEntropy, webLoop } from "./web-loop.ts";

export function webRuntime(buffers: OutBuffers): Runtime {
  return {
    loop: webLoop,
    out: buffers.outBuffer(),
    serverName: `sansmq ${version}`,
    memoryBytes,
    entropy: webEntropy,
    isSame,
  };
}
