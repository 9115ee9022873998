/** What an error says, on the one line that the command has for it. */
export function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // Node cites the place in a file where it is not JSON, with the ends of its lines.
  return message.replaceAll("\n", "\\n");
}
