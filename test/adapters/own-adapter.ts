/** A broker on any Node stream, built directly on the core: the adapter of docs/embedding.md. */
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { Duplex } from "node:stream";
import * as core from "sansmq/core";
import { createWebSocketStream, WebSocketServer } from "ws";

const hostMillis = performance.now.bind(performance);
const clock = (): core.Millis => Math.floor(hostMillis()) as core.Millis;

const everybody: core.Policy = {
  authenticate: () => core.Verdict.Allow,
  publish: () => core.Verdict.Allow,
  subscribe: () => core.Verdict.Allow,
};

function createCore(given: Readonly<Record<string, number>>): core.Broker {
  const limits = core.parseLimits(given);
  const [hashSeed] = randomFillSync(new Uint32Array(1));
  const ingest = new core.ReferenceIngest(limits, hashSeed!);
  return new core.Broker(
    {
      epochMillis: Date.now() - clock(),
      serverName: "our own",
      durable: false,
      responseInformation: null,
      limits,
    },
    {
      ingest,
      topics: core.referenceTopics(ingest),
      policy: everybody,
      entropy: (out) => void randomFillSync(out),
    },
  );
}

export class OwnAdapter {
  readonly broker: core.Broker;
  readonly #streams = new Map<core.ConnId, Duplex>();
  readonly #out: core.OutBuffer = { bytes: new Uint8Array(65_536), length: 0, tail: null };
  readonly #effect: core.Effect = {
    kind: 0,
    conn: core.NO_CONN,
    reason: 0,
    request: null,
    numbers: null,
  };
  #isScheduled = false;
  #isStopped = false;
  #alarm: NodeJS.Timeout | undefined;

  constructor(limits: Readonly<Record<string, number>> = {}) {
    this.broker = createCore(limits);
  }

  /** Serves one client: its bytes go to the core as they arrive. */
  serve(stream: Duplex, transport: core.ConnInfo["transport"], remote: string): void {
    const conn = this.broker.handleOpen({ transport, remote, peer: null }, clock());
    if (conn === core.NO_CONN) {
      stream.destroy();
      return;
    }
    this.#streams.set(conn, stream);
    let cause: core.CloseCause = core.CloseCause.Ended;
    stream.on("data", (chunk: Uint8Array) => {
      if (!this.broker.handleBytes(conn, chunk, clock())) stream.pause();
      this.#schedule();
    });
    stream.on("drain", () => {
      this.broker.handleWritable(conn, true, clock());
      this.#schedule();
    });
    stream.on("error", () => {
      cause = core.CloseCause.Error;
    });
    stream.on("end", () => {
      this.broker.handleEnd(conn, clock());
      this.#schedule();
    });
    stream.on("close", () => {
      this.#streams.delete(conn);
      this.broker.handleClose(conn, cause, clock());
      this.#schedule();
    });
    this.#schedule();
  }

  /** Handles the output once, at the end of each turn of the event loop. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    const now = clock();
    if (this.broker.pollTimeout() <= now) this.broker.handleTimeout(now);
    for (let conn = this.#send(now); conn !== core.NO_CONN; conn = this.#send(now));
    while (this.broker.pollEffect(this.#effect)) this.#act(this.#effect);
    while (this.broker.pollEvent() !== null);
    clearTimeout(this.#alarm);
    if (this.#isStopped) return;
    const delay = Math.min(this.broker.pollTimeout() - now, 2 ** 31 - 1);
    this.#alarm = setTimeout(() => this.#schedule(), delay);
  }

  /** Writes the output of the next connection. Returns that connection, or NO_CONN if there is no output. */
  #send(now: core.Millis): core.ConnId {
    const out = this.#out;
    const conn = this.broker.pollSend(out, now);
    if (conn === core.NO_CONN) return conn;
    // A copy, because Node continues to read it while the buffer is filled for the next connection.
    const bytes = Buffer.concat([out.bytes.subarray(0, out.length), out.tail ?? new Uint8Array()]);
    const takesMore = this.#streams.get(conn)?.write(bytes) ?? true;
    if (!takesMore) this.broker.handleWritable(conn, false, now);
    return conn;
  }

  #act({ kind, conn }: core.Effect): void {
    const stream = this.#streams.get(conn);
    if (stream === undefined) return;
    if (kind === core.EffectKind.Read) stream.resume();
    if (kind === core.EffectKind.Abort) stream.destroy();
    if (kind !== core.EffectKind.Close) return;
    stream.end();
    const cutOff = setTimeout(() => stream.destroy(), 2000);
    stream.once("close", () => clearTimeout(cutOff));
  }

  /** Sends pending output, ends every connection, and resolves. */
  async stop(): Promise<void> {
    this.broker.handleCommand({ kind: "shutdown" }, clock());
    this.#schedule();
    const streams = Array.from(this.#streams.values());
    await Promise.all(streams.map((stream) => new Promise((done) => stream.once("close", done))));
    // A turn may still follow, and must set no alarm, which would keep the process alive.
    this.#isStopped = true;
    clearTimeout(this.#alarm);
  }
}

export async function serveOwn(adapter: OwnAdapter) {
  const tcp = createServer({ allowHalfOpen: true }, (socket) => {
    adapter.serve(socket.setNoDelay(), "tcp", `${socket.remoteAddress}:${socket.remotePort}`);
  });
  tcp.listen(0, "127.0.0.1");
  const ws = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    path: "/mqtt",
    handleProtocols: (offered) => offered.has("mqtt") && "mqtt",
  });
  ws.on("connection", (socket, { socket: { remoteAddress, remotePort } }) => {
    socket.on("message", (_, isBinary) => isBinary || socket.close(1003));
    adapter.serve(createWebSocketStream(socket), "ws", `${remoteAddress}:${remotePort}`);
  });
  await Promise.all([once(tcp, "listening"), once(ws, "listening")]);
  return {
    tcp,
    ws,
    port: (server: { address(): unknown }) => (server.address() as AddressInfo).port,
  };
}
