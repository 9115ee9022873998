/** The paths at which WebSocket clients are served. */
import { ConfigError } from "../core/mod.ts";
import { listOf } from "./checks.ts";

/** A set of served paths. A slash at the end and a query make no difference. */
export class WebSocketPaths {
  /** The paths as given. */
  readonly given: readonly string[];
  readonly #exact = new Set<string>();
  /** `/sub` for `/sub/*`, and the empty string for `/*`. */
  readonly #roots: string[] = [];

  /** One or more paths, in an array or separated by commas. Throws ConfigError. */
  constructor(field: string, given: unknown) {
    this.given = listOf(field, given, ALLOWED);
    for (const path of this.given) {
      if (!PATH.test(path)) throw new ConfigError(field, path, ALLOWED);
      if (path.endsWith("/*")) this.#roots.push(resolved(path.slice(0, -"*".length)));
      else this.#exact.add(resolved(path));
    }
  }

  /** Whether the target of a request, such as `/mqtt?token=1`, is served. */
  has(target: string): boolean {
    const path = resolved(withoutAuthority(target).split("?", 1)[0]!);
    if (this.#exact.has(path)) return true;
    return this.#roots.some((root) => path === root || path.startsWith(`${root}/`));
  }
}

/** The response text for a request to another path. */
export function notFoundText(paths: readonly string[]): string {
  return `Not Found: MQTT over WebSocket is at ${paths.join(", ")}\n`;
}

/** The target of a request without the authority, which a target in absolute form has, RFC 9112 §3.2. */
export function withoutAuthority(target: string): string {
  return target.replace(/^[a-z]+:\/\/[^/?]*/i, "");
}

/** As a URL has it, so that `/sub/../x` is not below `/sub` on any runtime, and without a slash at the end. */
function resolved(path: string): string {
  return withoutSlash(path.startsWith("/") ? new URL(`http://x${path}`).pathname : path);
}

function withoutSlash(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end--;
  return path.slice(0, end);
}

/** Visible ASCII except `#`, `*` and `?`; `*` is allowed as the last segment. */
const PATH = /^\/(?:[!"$-)+->@-~]*\/)?(?:[!"$-)+->@-~]*|\*)$/;
const ALLOWED =
  "paths that begin with /, such as /mqtt; /sub/* for all paths below /sub; /* for every path";
