/**
 * The loop that drives a broker, the same on every runtime: inputs come as the transports have them,
 * outputs leave once a turn of the event loop, many packets in one write.
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
import { EffectKind, NEVER, NO_CONN, Reason, slotOf, WriteBatch } from "../core/mod.ts";
import type { DeferringHost, HostLoop, HostSocket } from "./host.ts";
import { emptyEffect } from "./host.ts";
import type { Store } from "./storage/store.ts";

export interface DriverOptions {
  readonly broker: Broker;
  readonly loop: HostLoop;
  readonly store: Store;
  /** The first buffer that packets are encoded into. */
  readonly out: OutBuffer;
  /** The memory of the process, for `$SYS`; null: nobody knows it, or nobody asks. */
  readonly memoryBytes: (() => number) | null;
  /** Answers what the policy could not answer at once; a rejection denies. */
  decide(request: DecisionRequest): Promise<Decision>;
  handleEvent(event: BrokerEvent): void;
  /** Something outside failed: a decision, the store. */
  handleError(error: unknown): void;
}

export class Driver implements DeferringHost {
  readonly #options: DriverOptions;
  readonly #broker: Broker;
  readonly #loop: HostLoop;
  readonly #out: OutBuffer;
  readonly #effect: Effect = emptyEffect();
  /** Socket by connection slot. */
  readonly #sockets: (HostSocket | null)[] = [];
  readonly #batch = new WriteBatch();
  /** Asked while the core was in a call. */
  readonly #deferred: (() => void)[] = [];
  #openCount = 0;
  /** Short chunks since the last turn. */
  #reads = 0;
  #handleIdle: (() => void) | null = null;
  #isCommitting = false;
  #isScheduled = false;
  #isStopped = false;
  /** When the memory may be looked at again. */
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
    this.#schedule();
  }

  /** A transport was opened. NO_CONN: refused, the caller closes it. */
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
    // Sent while it is warm, and before a burst for one reader outgrows what may wait for it.
    if (this.#broker.backlogBytes > DRAIN_BYTES) this.#send(Number.POSITIVE_INFINITY);
    // Few come, and few wait: there is nothing to batch, and the first need not wait for the others.
    else if (chunk.length <= EAGER_BYTES && this.#reads++ < EAGER_READS) this.#send(EAGER_READS);
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

  /** The transport is gone: called once for each that was opened. */
  closed(conn: ConnId, cause: CloseCause): void {
    this.#sockets[slotOf(conn)] = null;
    this.#broker.handleClose(conn, cause, this.#loop.now());
    this.#schedule();
    if (--this.#openCount === 0) this.#handleIdle?.();
  }

  /** Asked from within a call of the core, as by a policy that publishes, it is done when that has returned. */
  command(command: Command): void {
    const kept = this.#broker.isBusy ? owned(command) : command;
    this.whenFree(() => this.#broker.handleCommand(kept, this.#loop.now()));
  }

  /** Calls `what`, which calls the core: at once, or when it has returned from the call that it is in. In order. */
  whenFree(what: () => void): void {
    if (this.#broker.isBusy) {
      this.#deferred.push(what);
    } else {
      this.#catchUp();
      what();
    }
    this.#schedule();
  }

  /** Calls `handler` once no transport is open, at once if none is. */
  onIdle(handler: () => void): void {
    if (this.#openCount === 0) handler();
    else this.#handleIdle = handler;
  }

  /**
   * Ends every transport that is left, and sets no alarm any more, which would keep a process alive. The events so far
   * are told: there may be no turn after.
   */
  stop(): void {
    this.#isStopped = true;
    this.#loop.clearAlarm(this.#alarm);
    for (const socket of this.#sockets) socket?.abort();
    this.#report();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#loop.schedule(this.#onTurn);
  }

  /** Does what was asked while the core was in a call. */
  #catchUp(): void {
    if (this.#deferred.length > 0) for (const what of this.#deferred.splice(0)) what();
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
    this.#commit();
    this.#send(SENDS_MAX);
    this.#act();
    this.#report();
    this.#setAlarm(now);
  }

  /** Tells the core what the process takes, before it says so in `$SYS`. */
  #measure(now: Millis): void {
    const { memoryBytes } = this.#options;
    if (memoryBytes === null || now < this.#measureAt) return;
    this.#measureAt = now + MEASURE_MILLIS;
    this.#broker.handleCommand({ kind: "memory", bytes: memoryBytes() }, now);
  }

  /** Gives each connection in turn what it is owed, up to `sends` writes. */
  #send(sends: number): void {
    const now = this.#loop.now();
    for (; sends > 0; sends--) {
      const conn = this.#broker.pollSend(this.#out, now);
      if (conn === NO_CONN) return;
      // No socket: it closed while its bytes were on their way.
      const isTaken = this.#sockets[slotOf(conn)]?.write(this.#out) ?? true;
      if (!isTaken) this.#broker.handleWritable(conn, false, now);
    }
    // The budget is spent: the event loop reads, then it goes on.
    this.#schedule();
  }

  #act(): void {
    const effect = this.#effect;
    while (this.#broker.pollEffect(effect)) {
      const { conn, request } = effect;
      const socket = this.#sockets[slotOf(conn)] ?? null;
      if (effect.kind === EffectKind.Decide) this.#decide(conn, request!);
      else if (socket === null) continue;
      else if (effect.kind === EffectKind.Close) socket.close(effect.reason);
      else if (effect.kind === EffectKind.Abort) socket.abort();
      else if (effect.kind === EffectKind.Read) socket.resume();
    }
  }

  #decide(conn: ConnId, request: DecisionRequest): void {
    const answer = (decision: Decision): void => {
      this.#broker.handleDecision(conn, decision, this.#loop.now());
      this.#catchUp();
      this.#schedule();
    };
    this.#options.decide(request).then(answer, (error: unknown) => {
      this.#options.handleError(error);
      answer({ kind: "deny", reason: Reason.ServerUnavailable });
    });
  }

  /** Hands what was written since the last time to the store, one batch at a time. */
  #commit(): void {
    if (this.#isCommitting || !this.#broker.pollJournal(this.#batch)) return;
    this.#isCommitting = true;
    const { lastSeq } = this.#batch;
    this.#options.store.commit(this.#batch).then(
      () => {
        this.#isCommitting = false;
        this.#broker.handleCommit(lastSeq, this.#loop.now());
        this.#schedule();
      },
      // The gates stay shut: what was not stored is not acknowledged.
      (error: unknown) => {
        this.#broker.handleCommitFailure(lastSeq, false, this.#loop.now());
        this.#options.handleError(error);
      },
    );
  }

  #report(): void {
    for (let event = this.#broker.pollEvent(); event !== null; event = this.#broker.pollEvent()) {
      this.#options.handleEvent(event);
    }
  }

  #setAlarm(now: Millis): void {
    if (this.#isStopped) return;
    const at = this.#broker.pollTimeout();
    // An alarm that is earlier than needed stays: it fires, and is set anew. One that should have fired by now is
    // set anew too: a test framework may have taken it away, as Bun's does with all timers set while they are fake.
    if (at >= this.#alarmAt && now < this.#alarmAt) return;
    this.#loop.clearAlarm(this.#alarm);
    this.#alarmAt = at;
    if (at === NEVER) return;
    const delay = Math.min(Math.max(0, at - now), DELAY_MILLIS_MAX);
    this.#alarm = this.#loop.setAlarm(this.#onAlarm, delay);
  }
}

/** A command that its program may change once it has asked. */
function owned(command: Command): Command {
  if (command.kind !== "publish") return command;
  const { payload, properties = {} } = command;
  return {
    ...command,
    payload: new Uint8Array(payload),
    properties: structuredClone(properties),
  };
}

/** Writes of one turn, after which the event loop reads again. */
const SENDS_MAX = 4096;
/** The memory is looked at no more often: that takes time. */
const MEASURE_MILLIS = 1000;
/** So many short chunks of a turn are answered at once. */
const EAGER_READS = 4;
const EAGER_BYTES = 256;
/** Bytes made ready after which they are sent at once. */
const DRAIN_BYTES = 262_144;
/** The longest delay that timers of every runtime take. */
const DELAY_MILLIS_MAX = 2 ** 31 - 1;
