/** The handshake of WebSocket, RFC 6455 §4.2, from the bytes of a request to those of its answer. */
import type { ConnInfo } from "../../core/mod.ts";
import { connInfo } from "../broker-server.ts";
import type { WebSocketAddress } from "../listen.ts";
import { keepRequest, upgradeRequest } from "../upgrade-request.ts";
import { chosenProtocol } from "../web-loop.ts";
import { notFoundText } from "../websocket-paths.ts";

export interface Answer {
  /** Of the client, whose frames follow. Null: the connection is to be ended. */
  readonly info: ConnInfo | null;
  readonly bytes: Uint8Array;
}

/** What refuses a request that is not all there, whatever follows; null: it may become one. */
export function refusalOf(head: string): Answer | null {
  if (!BEGINNING.test(head)) return refusal(BAD_REQUEST);
  return head.length > HEAD_LENGTH_MAX ? refusal("431 Request Header Fields Too Large") : null;
}

/** `head` is the request, without the empty line that ends it; `peer` is the address that it came from. */
export async function answerTo(
  head: string,
  peer: string,
  { paths, proxies }: Pick<WebSocketAddress, "paths" | "proxies">,
): Promise<Answer> {
  const refused = refusalOf(`${head}\r\n`);
  if (refused !== null) return refused;
  const request = parse(head);
  if (request === null) return refusal(BAD_REQUEST);
  const { method, target, headers } = request;
  if (!paths.has(target)) return refusal("404 Not Found", [], notFoundText(paths.given));
  const offered = headers.get("sec-websocket-protocol");
  const protocol = chosenProtocol(offered);
  // A client that offers no protocol at all is let in, as by other brokers; one that offers others is not.
  if (offered !== null && protocol === null) return refusal(BAD_REQUEST);
  const isUpgrade = headers.get("upgrade")?.toLowerCase() === "websocket";
  const isAsked = /(^|,)\s*upgrade\s*(,|$)/i.test(headers.get("connection") ?? "");
  const isKnown = headers.get("sec-websocket-version") === "13";
  if (method !== "GET" || !isUpgrade || !isAsked || !isKnown) {
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

/** Null: one of its lines is no header. */
function parse(head: string): HttpRequest | null {
  const [first, ...lines] = head.split("\r\n");
  const [method, target] = first!.split(" ") as [string, string];
  const headers = new Headers();
  try {
    for (const line of lines) {
      // Nothing before the colon but the name, and no line that goes on with the one before: RFC 9112 §5.
      const [, name, value] = /^([^:\s]+):(.*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) return null;
      headers.append(name, value);
    }
  } catch {
    // A name or a value that can not be one.
    return null;
  }
  return { method, target, headers };
}

async function acceptKey(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + GUID));
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

/** `text` is ASCII, as paths are. */
function refusal(status: string, headers: readonly string[] = [], text = ""): Answer {
  const type = "Content-Type: text/plain; charset=utf-8";
  const length = `Content-Length: ${text.length}`;
  const bytes = encode(status, ["Connection: close", type, length, ...headers], text);
  return { info: null, bytes };
}

function encode(status: string, headers: readonly string[], text = ""): Uint8Array {
  return new TextEncoder().encode([`HTTP/1.1 ${status}`, ...headers, "", text].join("\r\n"));
}

/** A method, what it asks for, and HTTP/1.1: as far as that has come, for a line that is none may never end. */
const BEGINNING = /^[A-Z]+(?:$| [^\n]*$| \S+ HTTP\/1\.1\r\n)/;
const HEAD_LENGTH_MAX = 16_384;
const BAD_REQUEST = "400 Bad Request";
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
