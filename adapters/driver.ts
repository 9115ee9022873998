/**
 * The loop that drives a broker, the same on every runtime. It passes on input as it arrives, and writes output once per
 * turn of the event loop, many packets in one write.
 */
import type {
  Broker,
  BrokerEvent,
  CloseCause,
  Command,
  ConnId,
  ConnInfo,
  Decision,
  DecisionRequest,
  Effect,
  Millis,
  OutBuffer,
} from "../core/mod.ts";
import { EffectKind, NEVER, NO_CONN, Reason, slotOf } from "../core/mod.ts";
import type { CommitLoopOptions, StoreState } from "./commit-loop.ts";
import { CommitLoop } from "./commit-loop.ts";
import type { DeferringHost, HostLoop, HostSocket } from "./host.ts";
import { emptyEffect } from "./host.ts";

export interface DriverOptions {
  readonly broker: Broker;
  readonly loop: HostLoop;
  readonly store: StoreOptions;
  /** The first buffer that packets are encoded into. */
  readonly out: OutBuffer;
  /** The memory of the process, for `$SYS`; null: it is not known or not needed. */
  readonly memoryBytes: (() => number) | null;
  /** Decides a request that the policy answered with Pending. A rejection denies the request. */
  decide(request: DecisionRequest): Promise<Decision>;
  handleEvent(event: BrokerEvent): void;
  /** Handles an error of a decision. */
  handleError(error: unknown): void;
}

/** The store, and what happens when it is full or fails. */
export type StoreOptions = Omit<CommitLoopOptions, "broker" | "loop" | "handleProgress">;

export class Driver implements DeferringHost {
  readonly #options: DriverOptions;
  readonly #broker: Broker;
  readonly #loop: HostLoop;
  readonly #out: OutBuffer;
  readonly #effect: Effect = emptyEffect();
  /** Socket by connection slot. */
  readonly #sockets: (HostSocket | null)[] = [];
  readonly #commits: CommitLoop;
  /** Calls that were requested while the core was in a call. */
  readonly #deferred: (() => void)[] = [];
  #openCount = 0;
  /** Short chunks since the last turn. */
  #reads = 0;
  #handleIdle: (() => void) | null = null;
  #isScheduled = false;
  #isStopped = false;
  /** When the memory may be measured again. */
  #measureAt = 0;
  #alarm: unknown = null;
  #alarmAt: Millis = NEVER;
  readonly #onTurn = (): void => this.#turn();
  readonly #onAlarm = (): void => {
    this.#alarm = null;
    this.#alarmAt = NEVER;
    this.#turn();
  };

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#broker = options.broker;
    this.#loop = options.loop;
    this.#out = options.out;
    const { broker, loop, store } = options;
    const handleProgress = (): void => {
      this.#send(EAGER_SENDS);
      this.#schedule();
    };
    this.#commits = new CommitLoop({ broker, loop, ...store, handleProgress });
    this.#schedule();
  }

  /** A transport was opened. NO_CONN: it is refused, and the caller closes it. */
  open(socket: HostSocket, info: ConnInfo): ConnId {
    const conn = this.#broker.handleOpen(info, this.#loop.now());
    if (conn !== NO_CONN) {
      this.#sockets[slotOf(conn)] = socket;
      this.#openCount++;
    }
    this.#schedule();
    return conn;
  }

  /** `chunk` is lent. False: stop reading until `HostSocket.resume`. */
  bytes(conn: ConnId, chunk: Uint8Array): boolean {
    const readsOn = this.#broker.handleBytes(conn, chunk, this.#loop.now());
    this.#catchUp();
    this.#schedule();
    // Sends while the data is in the cache, and before a burst for one client exceeds its output limit.
    if (this.#broker.sendableBytes > DRAIN_BYTES) this.#send(Number.POSITIVE_INFINITY);
    // With few short chunks there is nothing to batch, so the first replies do not wait for the others.
    else if (chunk.length <= EAGER_BYTES && this.#reads++ < EAGER_READS) {
      // The store begins first, because it takes longer.
      this.#commits.commit();
      this.#send(EAGER_SENDS);
    }
    return readsOn;
  }

  writable(conn: ConnId, writable: boolean): void {
    this.#broker.handleWritable(conn, writable, this.#loop.now());
    this.#schedule();
  }

  ended(conn: ConnId): void {
    this.#broker.handleEnd(conn, this.#loop.now());
    this.#schedule();
  }

  /** The transport is gone. Called once for each opened transport. */
  closed(conn: ConnId, cause: CloseCause): void {
    this.#sockets[slotOf(conn)] = null;
    this.#broker.handleClose(conn, cause, this.#loop.now());
    this.#schedule();
    if (--this.#openCount === 0) this.#handleIdle?.();
  }

  /** Executes a command. Within a call of the core, such as by a policy that publishes, it is executed after that call. */
  command(command: Command): void {
    const kept = this.#broker.isBusy ? owned(command) : command;
    this.whenFree(() => this.#broker.handleCommand(kept, this.#loop.now()));
  }

  /** Runs `call`, which may call the core: at once, or after the current call of the core. In order. */
  whenFree(call: () => void): void {
    if (this.#broker.isBusy) {
      this.#deferred.push(call);
    } else {
      this.#catchUp();
      call();
    }
    this.#schedule();
  }

  /** Calls `handler` when no transport is open; at once if none is. */
  onIdle(handler: () => void): void {
    if (this.#openCount === 0) handler();
    else this.#handleIdle = handler;
  }

  get storeState(): StoreState {
    return this.#commits.state;
  }

  /** Resolves once every write is durable, or none can be because the store is full or has failed. */
  finishCommits(): Promise<void> {
    return this.#commits.finish();
  }

  /** The store gets nothing more. */
  endCommits(): void {
    this.#commits.end();
  }

  /**
   * Aborts all remaining transports, and sets no further alarm, which would keep the process alive. Reports all events, because
   * there may be no further turn.
   */
  stop(): void {
    this.#isStopped = true;
    this.#loop.clearAlarm(this.#alarm);
    for (const socket of this.#sockets) socket?.abort();
    this.report();
  }

  /** Reports the events that the broker still holds. A broken broker can do this too. */
  report(): void {
    for (let event = this.#broker.pollEvent(); event !== null; event = this.#broker.pollEvent()) {
      this.#options.handleEvent(event);
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#loop.schedule(this.#onTurn);
  }

  /** Executes the calls that were requested while the core was in a call. */
  #catchUp(): void {
    if (this.#deferred.length > 0) for (const call of this.#deferred.splice(0)) call();
  }

  #turn(): void {
    this.#isScheduled = false;
    this.#reads = 0;
    this.#catchUp();
    const now = this.#loop.now();
    if (this.#broker.pollTimeout() <= now) {
      this.#measure(now);
      this.#broker.handleTimeout(now);
    }
    this.#commits.commit();
    this.#send(SENDS_MAX);
    // Sent replies make room for input that waited, and that input may write too.
    this.#commits.commit();
    this.#act();
    this.report();
    this.#setAlarm(now);
  }

  /** Tells the core the memory of the process before `$SYS` is published. */
  #measure(now: Millis): void {
    const { memoryBytes } = this.#options;
    if (memoryBytes === null || now < this.#measureAt) return;
    this.#measureAt = now + MEASURE_MILLIS;
    this.#broker.handleCommand({ kind: "memory", bytes: memoryBytes() }, now);
  }

  /** Writes the output of one connection after another, up to `sends` writes. */
  #send(sends: number): void {
    const now = this.#loop.now();
    for (; sends > 0; sends--) {
      const conn = this.#broker.pollSend(this.#out, now);
      if (conn === NO_CONN) return;
      // No socket: the transport has closed meanwhile.
      const isTaken = this.#sockets[slotOf(conn)]?.write(this.#out) ?? true;
      if (!isTaken) this.#broker.handleWritable(conn, false, now);
    }
    // The maximum is reached: the event loop reads first, then sending continues.
    this.#schedule();
  }

  #act(): void {
    const effect = this.#effect;
    while (this.#broker.pollEffect(effect)) {
      const { conn, request } = effect;
      const socket = this.#sockets[slotOf(conn)] ?? null;
      if (effect.kind === EffectKind.Decide) this.#decide(conn, request!);
      else if (effect.kind === EffectKind.Load) void this.#load(effect.numbers!);
      else if (socket === null) continue;
      else if (effect.kind === EffectKind.Close) socket.close(effect.reason);
      else if (effect.kind === EffectKind.Abort) socket.abort();
      else if (effect.kind === EffectKind.Read) socket.resume();
    }
  }

  #decide(conn: ConnId, request: DecisionRequest): void {
    const settle = (decision: Decision): void => {
      this.#broker.handleDecision(conn, decision, this.#loop.now());
      this.#catchUp();
      this.#schedule();
    };
    this.#options.decide(request).then(settle, (error: unknown) => {
      this.#options.handleError(error);
      settle({ kind: "deny", reason: Reason.ServerUnavailable });
    });
  }

  /** Reads queued messages from the store. The broker goes on meanwhile. */
  async #load(numbers: Float64Array): Promise<void> {
    const { store } = this.#options.store;
    let values: readonly (Uint8Array | null)[];
    try {
      values = await store.read!(numbers);
      if (values.length !== numbers.length) {
        throw new RangeError(`the store returned ${values.length} values of ${numbers.length}`);
      }
    } catch (error) {
      // A store that was closed meanwhile may refuse to read.
      if (this.#isStopped) return;
      this.#broker.handleLoadFailure(numbers, this.#loop.now());
      this.#commits.fail(error);
      return;
    }
    this.#broker.handleLoaded(numbers, values, this.#loop.now());
    this.#catchUp();
    this.#schedule();
  }

  #setAlarm(now: Millis): void {
    if (this.#isStopped) return;
    const at = this.#broker.pollTimeout();
    // An alarm that is earlier than needed stays: it fires and is set again. An overdue alarm is set again too, because a test
    // framework may have removed it, as Bun's does with all timers that were set while timers are fake.
    if (at >= this.#alarmAt && now < this.#alarmAt) return;
    this.#loop.clearAlarm(this.#alarm);
    this.#alarmAt = at;
    if (at === NEVER) return;
    const delay = Math.min(Math.max(0, at - now), DELAY_MILLIS_MAX);
    this.#alarm = this.#loop.setAlarm(this.#onAlarm, delay);
  }
}

/** A copy of a command, because the program may change its own after the call. */
function owned(command: Command): Command {
  if (command.kind !== "publish") return command;
  const { payload, properties = {} } = command;
  return {
    ...command,
    payload: new Uint8Array(payload),
    properties: structuredClone(properties),
  };
}

/** Maximum writes of one turn; then the event loop reads again. */
const SENDS_MAX = 4096;
/** Minimum time between measurements of the memory, because they take time. */
const MEASURE_MILLIS = 1000;
/** The replies to this many short chunks of a turn are sent at once. */
const EAGER_READS = 4;
/** At once, so many connections get their output; the others get it in the turn. */
const EAGER_SENDS = 4;
const EAGER_BYTES = 256;
/** Pending output beyond this is sent at once. */
const DRAIN_BYTES = 262_144;
/** The longest timer delay that every runtime supports. */
const DELAY_MILLIS_MAX = 2 ** 31 - 1;
