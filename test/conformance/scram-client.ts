/** The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), on Web Crypto. */
export class ScramClient {
  readonly #name: string;
  readonly #password: string;
  readonly #nonce: string;
  readonly #header: string;
  #serverSignature: Uint8Array = new Uint8Array(0);

  /** `header` is the GS2 header: no channel binding, or `y,,` for a client that supports it. */
  constructor(name: string, password: string, header = "n,,") {
    this.#header = header;
    this.#name = name.replaceAll("=", "=3D").replaceAll(",", "=2C");
    this.#password = password;
    const random = crypto.getRandomValues(new Uint8Array(18));
    this.#nonce = Buffer.from(random).toString("base64");
  }

  first(): Uint8Array {
    return encode(`${this.#header}${this.#bare}`);
  }

  /** The answer to the server's first message. */
  async answer(challenge: Uint8Array): Promise<Uint8Array> {
    const serverFirst = new TextDecoder().decode(challenge);
    const fields = new Map(serverFirst.split(",").map((field) => [field[0], field.slice(2)]));
    const nonce = fields.get("r") ?? "";
    if (!nonce.startsWith(this.#nonce)) throw new Error("the nonce is not ours");
    const salt = Buffer.from(fields.get("s") ?? "", "base64");
    const salted = await pbkdf2(this.#password, salt, Number(fields.get("i")));
    const clientKey = await hmac(salted, encode("Client Key"));
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const withoutProof = `c=${Buffer.from(this.#header).toString("base64")},r=${nonce}`;
    const message = encode(`${this.#bare},${serverFirst},${withoutProof}`);
    const signature = await hmac(storedKey, message);
    const proof = clientKey.map((byte, index) => byte ^ signature[index]!);
    const serverKey = await hmac(salted, encode("Server Key"));
    this.#serverSignature = await hmac(serverKey, message);
    return encode(`${withoutProof},p=${Buffer.from(proof).toString("base64")}`);
  }

  /** Whether the server's last message proves that the server knows the password. */
  async isServer(last: Uint8Array): Promise<boolean> {
    const expected = `v=${Buffer.from(this.#serverSignature).toString("base64")}`;
    return new TextDecoder().decode(last) === expected;
  }

  get #bare(): string {
    return `n=${this.#name},r=${this.#nonce}`;
  }
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
}

async function pbkdf2(
  password: string,
  salt: Uint8Array,
  iterations: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await crypto.subtle.importKey("raw", encode(password), "PBKDF2", false, [
    "deriveBits",
  ]);
  const options = { name: "PBKDF2", hash: "SHA-256", salt: Uint8Array.from(salt), iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(options, key, 256));
}

async function hmac(
  key: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const options = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, options, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, message));
}
