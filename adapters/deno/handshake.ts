/** The handshake of WebSocket, RFC 6455 §4.2, from the bytes of a request to those of its answer. */
import { chosenProtocol } from "../web-loop.ts";

export interface Answer {
  /** What follows is frames. Else the connection is to be ended. */
  readonly isAccepted: boolean;
  readonly bytes: Uint8Array;
}

/** `head` is the request to the empty line that ends it. */
export async function answerTo(head: Uint8Array, path: string): Promise<Answer> {
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

/** Null: it is no request of HTTP/1.1. */
function parse(head: Uint8Array): HttpRequest | null {
  const [first, ...lines] = new TextDecoder("latin1").decode(head).trimEnd().split("\r\n");
  const [, method, target] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(first!) ?? [];
  if (method === undefined || target === undefined) return null;
  const headers = new Headers();
  try {
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.append(line.slice(0, colon), line.slice(colon + 1));
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

const BAD_REQUEST = "400 Bad Request";
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
