/** The output buffers of all brokers of a Node process. They are Buffers, which sockets write without a conversion. */
import { OutBuffers } from "../out-buffers.ts";

export const outBuffers: OutBuffers = new OutBuffers((byteCount) =>
  Buffer.allocUnsafeSlow(byteCount),
);
