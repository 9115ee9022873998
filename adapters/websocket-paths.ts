/** The paths at which WebSocket clients are served. */
import { ConfigError } from "../core/mod.ts";
import { listOf } from "./checks.ts";

/** Which paths are served. A slash at the end makes no difference, nor does what follows a `?`. */
export class WebSocketPaths {
  /** As they were given. */
  readonly given: readonly string[];
  readonly #exact = new Set<string>();
  /** Of `/sub/*` it is `/sub`, of `/*` it is empty. */
  readonly #roots: string[] = [];

  /** A path or several, as a list or separated by commas. Throws ConfigError. */
  constructor(field: string, given: unknown) {
    this.given = listOf(field, given, ALLOWED);
    for (const path of this.given) {
      if (!PATH.test(path)) throw new ConfigError(field, path, ALLOWED);
      if (path.endsWith("/*")) this.#roots.push(path.slice(0, -"/*".length));
      else this.#exact.add(withoutSlash(path));
    }
  }

  /** Whether they have the target of a request, such as `/mqtt?token=1`. */
  has(target: string): boolean {
    const path = withoutSlash(withoutAuthority(target).split("?", 1)[0]!);
    if (this.#exact.has(path)) return true;
    return this.#roots.some((root) => path === root || path.startsWith(`${root}/`));
  }
}

/** What a request to another path is answered. */
export function notFoundText(paths: readonly string[]): string {
  return `Not Found: MQTT over WebSocket is at ${paths.join(", ")}\n`;
}

/** The target of a request without the authority that it has as a whole URL, RFC 9112 §3.2. */
export function withoutAuthority(target: string): string {
  return target.replace(/^[a-z]+:\/\/[^/?]*/i, "");
}

function withoutSlash(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end--;
  return path.slice(0, end);
}

/** Visible ASCII but for `#`, `*` and `?`, and a `*` as the last segment. */
const PATH = /^\/(?:[!"$-)+->@-~]*\/)?(?:[!"$-)+->@-~]*|\*)$/;
const ALLOWED =
  "paths that begin with /, such as /mqtt, or /sub/* for all below /sub, or /* for any";
