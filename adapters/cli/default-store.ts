/** The folder of the store if `--store` names none. */
import { homedir } from "node:os";
import { join } from "node:path";

/** `STATE_DIRECTORY` of systemd, or the state folder of the platform. */
export function defaultStore(): string {
  const { STATE_DIRECTORY, XDG_STATE_HOME, LOCALAPPDATA, HOME } = process.env;
  // systemd separates several folders by colons.
  if (STATE_DIRECTORY) return STATE_DIRECTORY.split(":")[0]!;
  if (process.platform === "win32" && LOCALAPPDATA) return join(LOCALAPPDATA, "sansmq");
  if (XDG_STATE_HOME) return join(XDG_STATE_HOME, "sansmq");
  // Deno asks for a permission of its own before it says what the home folder is.
  const home = HOME || homedir();
  return process.platform === "darwin"
    ? join(home, "Library", "Application Support", "sansmq")
    : join(home, ".local", "state", "sansmq");
}
