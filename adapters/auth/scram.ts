/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as an authentication method of MQTT 5.0, on Web Crypto: the password
 * never crosses the wire, and each side proves that it knows it.
 */
import { checkUsers } from "../checks.ts";
import type { AuthenticationExchange, AuthenticationMethod, AuthenticationStep } from "./method.ts";

export const SCRAM_SHA_256 = "SCRAM-SHA-256";

/** The keys that the server stores for one password. */
interface Keys {
  readonly salt: Bytes;
  readonly storedKey: Bytes;
  readonly serverKey: Bytes;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** The method, for fixed users: name → password. Throws ConfigError. */
export function scramMethod(
  users: Readonly<Record<string, string>>,
  iterations: number = ITERATIONS,
): AuthenticationMethod {
  checkUsers(users);
  const secret = randomBytes(32);
  const known = new Map<string, Promise<Keys>>();
  const keysOf = (name: string): Promise<Keys> => {
    const kept = known.get(name);
    if (kept !== undefined) return kept;
    // An unknown user gets a salt too, always the same one, so that a client cannot tell which users exist.
    const isUser = Object.hasOwn(users, name);
    const password = isUser ? users[name]! : bytesToBase64(randomBytes(32));
    const made = makeKeys(name, password, secret, iterations);
    if (isUser) known.set(name, made);
    return made;
  };
  return {
    begin: () => new ScramExchange((name) => Object.hasOwn(users, name), keysOf, iterations),
  };
}

class ScramExchange implements AuthenticationExchange {
  readonly #isUser: (name: string) => boolean;
  readonly #keysOf: (name: string) => Promise<Keys>;
  readonly #iterations: number;
  #name = "";
  #keys: Keys | null = null;
  #clientFirst = "";
  #serverFirst = "";
  #header = "";
  #nonce = "";

  constructor(
    isUser: (name: string) => boolean,
    keysOf: (name: string) => Promise<Keys>,
    iterations: number,
  ) {
    this.#isUser = isUser;
    this.#keysOf = keysOf;
    this.#iterations = iterations;
  }

  step(data: Uint8Array | null): Promise<AuthenticationStep> {
    const message = new TextDecoder().decode(data ?? new Uint8Array(0));
    return this.#keys === null ? this.#first(message) : this.#last(this.#keys, message);
  }

  async #first(message: string): Promise<AuthenticationStep> {
    // Channel binding and an authorization identity are not supported.
    const found = /^([ny],,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+))$/.exec(message);
    if (found === null) return REFUSED;
    const [, header, clientFirst, name, clientNonce] = found as unknown as readonly string[];
    this.#header = header!;
    this.#clientFirst = clientFirst!;
    this.#name = name!.replaceAll("=2C", ",").replaceAll("=3D", "=");
    this.#keys = await this.#keysOf(this.#name);
    this.#nonce = `${clientNonce}${bytesToBase64(randomBytes(18))}`;
    const salt = bytesToBase64(this.#keys.salt);
    this.#serverFirst = `r=${this.#nonce},s=${salt},i=${this.#iterations}`;
    return { kind: "challenge", data: encode(this.#serverFirst) };
  }

  async #last(keys: Keys, message: string): Promise<AuthenticationStep> {
    const found = /^(c=([^,]+),r=([^,]+)),p=([^,]+)$/.exec(message);
    if (found === null) return REFUSED;
    const [, withoutProof, binding, nonce, proofText] = found as unknown as readonly string[];
    if (binding !== bytesToBase64(encode(this.#header)) || nonce !== this.#nonce) return REFUSED;
    const proof = base64ToBytes(proofText!);
    if (proof === null || proof.length !== 32) return REFUSED;
    const signed = encode(`${this.#clientFirst},${this.#serverFirst},${withoutProof}`);
    const signature = await hmac(keys.storedKey, signed);
    const clientKey = proof.map((byte, index) => byte ^ signature[index]!) as Bytes;
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    if (!isSame(storedKey, keys.storedKey) || !this.#isUser(this.#name)) return REFUSED;
    const serverSignature = await hmac(keys.serverKey, signed);
    const data = encode(`v=${bytesToBase64(serverSignature)}`);
    return { kind: "accept", username: this.#name, data };
  }
}

async function makeKeys(
  name: string,
  password: string,
  secret: Bytes,
  iterations: number,
): Promise<Keys> {
  const salt = (await hmac(secret, encode(name))).slice(0, 16);
  const key = await crypto.subtle.importKey("raw", encode(password), "PBKDF2", false, [
    "deriveBits",
  ]);
  const options = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  const salted = new Uint8Array(await crypto.subtle.deriveBits(options, key, 256));
  const clientKey = await hmac(salted, encode("Client Key"));
  const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
  return { salt, storedKey, serverKey: await hmac(salted, encode("Server Key")) };
}

async function hmac(key: Bytes, message: Bytes): Promise<Bytes> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, message));
}

/** Compares in a time that does not depend on where the bytes differ. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i] ?? 0);
  return difference === 0;
}

function encode(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

function randomBytes(count: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(count));
}

function bytesToBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function base64ToBytes(text: string): Bytes | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

const REFUSED: AuthenticationStep = { kind: "refuse" };
/** RFC 7677 asks for at least 4096. */
const ITERATIONS = 4096;
