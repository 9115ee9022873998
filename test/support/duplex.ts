/** A pipe as a stream of Node's, for clients that want one. */
import { Duplex } from "node:stream";
import type { BytePipe } from "../../adapters/local/mod.ts";

/** Written out: Duplex.fromWeb of Node 20 throws where a stream is destroyed while it is written to. */
export function duplex({ readable, writable }: BytePipe): Duplex {
  const writer = writable.getWriter();
  const reader = readable.getReader();
  const stream = new Duplex({
    allowHalfOpen: false,
    read: () => {
      reader.read().then(
        ({ value }) => void stream.push(value ?? null),
        () => stream.destroy(),
      );
    },
    write: (chunk: Uint8Array, _, done) => void writer.write(chunk).then(() => done(), done),
    final: (done) => void writer.close().then(() => done(), done),
    destroy: (error, done) => {
      reader.cancel().catch(() => {});
      writer.abort(error).then(
        () => done(error),
        () => done(error),
      );
    },
  });
  return stream;
}
