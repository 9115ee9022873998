/** Writes to standard output, as fast as its reader reads. */

/** Resolves when the text has been written. A reader that stopped reading, such as `head`, is no error: it ends the process. */
export function toStdout(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // The error comes with the call below too.
    if (process.stdout.listenerCount("error") === 0) process.stdout.on("error", () => {});
    process.stdout.write(text, (error) => {
      if (error == null) resolve();
      else if ((error as { readonly code?: unknown }).code === "EPIPE") process.exit(0);
      else reject(error);
    });
  });
}
