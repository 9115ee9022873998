/** The handshake of WebSocket, RFC 6455 §4.2: makes the response to a request. */
import type { ConnInfo } from "../../core/mod.ts";
import type { WebSocketAddress } from "../listen.ts";
import { connInfo } from "../transport.ts";
import { keepRequest, upgradeRequest } from "../upgrade-request.ts";
import { chosenProtocol } from "../web-loop.ts";
import { notFoundText } from "../websocket-paths.ts";

export interface HandshakeResponse {
  /** The information about the client, whose frames follow; null: the request is refused. */
  readonly info: ConnInfo | null;
  readonly bytes: Uint8Array;
}

/** The response that refuses an incomplete request, if no continuation could make it valid; null: it may become valid. */
export function refusalOf(head: string): HandshakeResponse | null {
  if (!BEGINNING.test(head)) return refusal(BAD_REQUEST);
  return head.length > HEAD_LENGTH_MAX ? refusal("431 Request Header Fields Too Large") : null;
}

/** `head` is the request without the empty line at its end. `peer` is the address that sent it. */
export async function responseTo(
  head: string,
  peer: string,
  { paths, proxies }: Pick<WebSocketAddress, "paths" | "proxies">,
): Promise<HandshakeResponse> {
  const refused = refusalOf(`${head}\r\n`);
  if (refused !== null) return refused;
  const request = parse(head);
  if (request === null) return refusal(BAD_REQUEST);
  const { method, target, headers } = request;
  if (!paths.has(target)) return refusal("404 Not Found", [], notFoundText(paths.given));
  const offered = headers.get("sec-websocket-protocol");
  const protocol = chosenProtocol(offered);
  // Like other brokers, accepts a client that offers no protocol, but not a client that offers only other protocols.
  if (offered !== null && protocol === null) return refusal(BAD_REQUEST);
  const isUpgrade = headers.get("upgrade")?.toLowerCase() === "websocket";
  const isConnectionUpgrade = /(^|,)\s*upgrade\s*(,|$)/i.test(headers.get("connection") ?? "");
  const isKnownVersion = headers.get("sec-websocket-version") === "13";
  if (method !== "GET" || !isUpgrade || !isConnectionUpgrade || !isKnownVersion) {
    return refusal("426 Upgrade Required", ["Upgrade: websocket", "Sec-WebSocket-Version: 13"]);
  }
  const key = headers.get("sec-websocket-key") ?? "";
  if (!headers.has("host") || !/^[+/0-9A-Za-z]{22}==$/.test(key)) return refusal(BAD_REQUEST);
  const remote = proxies.clientOf(peer, (name) => headers.get(name));
  if (remote === null) return refusal(BAD_REQUEST);
  return {
    info: keepRequest(connInfo("ws", remote), upgradeRequest(target, headers)),
    bytes: encode("101 Switching Protocols", [
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${await acceptKey(key)}`,
      ...(protocol === null ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
    ]),
  };
}

interface HttpRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Headers;
}

/** Null: a line is not a valid header. */
function parse(head: string): HttpRequest | null {
  const [first, ...lines] = head.split("\r\n");
  const [method, target] = first!.split(" ") as [string, string];
  const headers = new Headers();
  try {
    for (const line of lines) {
      // No space before the colon, and no line that continues the line before, RFC 9112 §5.
      const [, name, value] = /^([^:\s]+):(.*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) return null;
      headers.append(name, value);
    }
  } catch {
    // A character that is not allowed in a name or a value.
    return null;
  }
  return { method, target, headers };
}

async function acceptKey(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + GUID));
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

/** `text` must be ASCII, as paths are, because its length is taken as its size. */
function refusal(status: string, headers: readonly string[] = [], text = ""): HandshakeResponse {
  const type = "Content-Type: text/plain; charset=utf-8";
  const length = `Content-Length: ${text.length}`;
  const bytes = encode(status, ["Connection: close", type, length, ...headers], text);
  return { info: null, bytes };
}

function encode(status: string, headers: readonly string[], text = ""): Uint8Array {
  return new TextEncoder().encode([`HTTP/1.1 ${status}`, ...headers, "", text].join("\r\n"));
}

/** The beginning of a valid request line. A line that cannot become valid is refused at once, because it may never end. */
const BEGINNING = /^[A-Z]+(?:$| [^\n]*$| \S+ HTTP\/1\.1\r\n)/;
const HEAD_LENGTH_MAX = 16_384;
const BAD_REQUEST = "400 Bad Request";
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
