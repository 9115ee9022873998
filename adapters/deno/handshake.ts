/** The handshake of WebSocket, RFC 6455 §4.2, from the bytes of a request to those of its answer. */
import { chosenProtocol } from "../web-loop.ts";

export interface Answer {
  /** What follows is frames. Else the connection is to be ended. */
  readonly isAccepted: boolean;
  readonly bytes: Uint8Array;
}

/** What refuses a request that is not all there, whatever follows; null: it may become one. */
export function refusalOf(head: string): Answer | null {
  if (!BEGINNING.test(head)) return refusal(BAD_REQUEST);
  return head.length > HEAD_LENGTH_MAX ? refusal("431 Request Header Fields Too Large") : null;
}

/** `head` is the request, without the empty line that ends it. */
export async function answerTo(head: string, path: string): Promise<Answer> {
  const refused = refusalOf(`${head}\r\n`);
  if (refused !== null) return refused;
  const request = parse(head);
  if (request === null) return refusal(BAD_REQUEST);
  const { method, target, headers } = request;
  if (target.split("?")[0] !== path) return refusal("404 Not Found");
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
  return {
    isAccepted: true,
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

function refusal(status: string, headers: readonly string[] = []): Answer {
  const bytes = encode(status, ["Connection: close", "Content-Length: 0", ...headers]);
  return { isAccepted: false, bytes };
}

function encode(status: string, headers: readonly string[]): Uint8Array {
  return new TextEncoder().encode([`HTTP/1.1 ${status}`, ...headers, "", ""].join("\r\n"));
}

/** A method, what it asks for, and HTTP/1.1: as far as that has come, for a line that is none may never end. */
const BEGINNING = /^[A-Z]+(?:$| [^\n]*$| \S+ HTTP\/1\.1\r\n)/;
const HEAD_LENGTH_MAX = 16_384;
const BAD_REQUEST = "400 Bad Request";
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
