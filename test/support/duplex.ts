/** A pipe as a Node stream, for clients that need one. */
import { Duplex } from "node:stream";
import type { BytePipe } from "../../adapters/local/mod.ts";

/** Not Duplex.fromWeb, which throws on Node 20 if a stream is destroyed during a write. */
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
