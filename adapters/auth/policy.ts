/** The access policy from the options of the embedding program: fixed users, or functions of its own. */
import type {
  AuthenticateRequest,
  ConnId,
  Decision,
  DecisionRequest,
  Policy,
  PolicyVerdict,
  QoS,
  ReasonCode,
} from "../../core/mod.ts";
import { ConfigError, Reason, Verdict } from "../../core/mod.ts";
import {
  checkFunction,
  checkObject,
  checkSupplied,
  checkSwitch,
  checkText,
  checkUsers,
  isPlain,
} from "../checks.ts";
import { checkOptions } from "../options.ts";
import { requestOf } from "../upgrade-request.ts";
import type { ClientIdentity, ConnectingClient } from "./client-identity.ts";
import type { AuthenticationExchange, AuthenticationMethod } from "./method.ts";
import { checkedExchange, checkedStep } from "./method.ts";
import type { Answer, ConnectRefusal, PolicyFunctionName } from "./refusal.ts";
import { refusalOf } from "./refusal.ts";
import { SCRAM_SHA_256, scramMethod } from "./scram.ts";

export interface PolicyOptions {
  /** User name → password. Anonymous clients are then refused unless `allowAnonymous` is true. */
  readonly users?: Readonly<Record<string, string>>;
  /**
   * Whether clients without a user name may connect. By default they may only if there are neither `users` nor
   * `authenticate`, and on loopback only.
   */
  readonly allowAnonymous?: boolean;
  /** Decides whether a client may connect, instead of `users`. A refusal may give the reason for CONNACK. */
  authenticate?(
    client: ConnectingClient,
    password: Uint8Array | null,
  ): Answer<ConnectRefusal> | Promise<Answer<ConnectRefusal>>;
  /**
   * Methods of enhanced authentication by name, for clients of MQTT 5.0. With `users`, SCRAM-SHA-256 is
   * included.
   */
  readonly methods?: Readonly<Record<string, AuthenticationMethod>>;
  /** Decides whether a client may publish, wills included. By default every client may. */
  authorizePublish?(
    client: ClientIdentity,
    topic: string,
    qos: QoS,
    retain: boolean,
  ): Answer | Promise<Answer>;
  /** Decides whether a client may subscribe. By default every client may. */
  authorizeSubscribe?(client: ClientIdentity, filter: string, qos: QoS): Answer | Promise<Answer>;
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** The policy of a broker. It also keeps the promises of functions that have not settled. */
export class ComposedPolicy implements Policy {
  readonly #options: PolicyOptions;
  readonly #allowsAnonymous: boolean;
  readonly #users: ReadonlyMap<string, Uint8Array> | null;
  readonly #clients = new Map<ConnId, Writable<ConnectingClient>>();
  readonly #pending = new Map<string, Promise<unknown>>();
  readonly #methods: ReadonlyMap<string, AuthenticationMethod>;
  readonly #exchanges = new Map<ConnId, AuthenticationExchange>();
  /** Compares passwords in a time that does not depend on where they differ. */
  readonly #isSame: (a: Uint8Array, b: Uint8Array) => boolean;

  /** Throws ConfigError. */
  constructor(options: PolicyOptions, isSame: (a: Uint8Array, b: Uint8Array) => boolean) {
    this.#options = options;
    this.#isSame = isSame;
    for (const name of ["authenticate", "authorizePublish", "authorizeSubscribe"] as const) {
      if (options[name] !== undefined) checkFunction(name, options[name]);
    }
    checkTakesNoCallback(options.authenticate);
    const { methods = {} } = options;
    const hasUsers = options.users !== undefined;
    if (hasUsers && options.authenticate !== undefined) {
      throw new ConfigError("users", "[users]", "users or authenticate, not both");
    }
    const { allowAnonymous = !hasUsers && options.authenticate === undefined } = options;
    checkSwitch("allowAnonymous", allowAnonymous);
    this.#allowsAnonymous = allowAnonymous;
    if (hasUsers) checkUsers(options.users);
    checkObject("methods", methods);
    for (const [name, method] of Object.entries(methods)) {
      checkText("methods", name);
      checkSupplied(`methods.${name}`, method, "begin");
      // An instance of a class may have other members.
      if (isPlain(method)) checkOptions(`methods.${name}`, method, { begin: true });
    }
    const shipped = hasUsers ? { [SCRAM_SHA_256]: scramMethod(options.users) } : {};
    this.#methods = new Map(Object.entries({ ...shipped, ...methods }));
    const encoder = new TextEncoder();
    this.#users = hasUsers
      ? new Map(Object.entries(options.users).map(([name, word]) => [name, encoder.encode(word)]))
      : null;
  }

  /** Whether every client that reaches the broker may connect. */
  get isOpen(): boolean {
    return this.#allowsAnonymous && this.#options.authenticate === undefined;
  }

  authenticate(request: AuthenticateRequest): PolicyVerdict {
    const { conn, clientId, username, info, password, method } = request;
    let client = this.#clients.get(conn);
    if (client === undefined || request.step === "connect") {
      client = { clientId, username, remote: info.remote, request: requestOf(info) };
      this.#clients.set(conn, client);
    }
    if (method !== null) return this.#methods.has(method) ? Verdict.Pending : Verdict.Deny;
    const { authenticate } = this.#options;
    if (authenticate !== undefined) {
      const connecting = client;
      return this.#verdict("authenticate", `${conn}`, () => authenticate(connecting, password));
    }
    if (username === null) return this.#allowsAnonymous ? Verdict.Allow : Verdict.Deny;
    if (this.#users === null) return this.#allowsAnonymous ? Verdict.Allow : Verdict.Deny;
    const expected = this.#users.get(username);
    const isKnown = this.#isSame(expected ?? NO_BYTES, password ?? NO_BYTES);
    return isKnown && expected !== undefined && password !== null ? Verdict.Allow : Verdict.Deny;
  }

  publish(conn: ConnId, topic: string, qos: QoS, retain: boolean): PolicyVerdict {
    const { authorizePublish } = this.#options;
    if (authorizePublish === undefined) return Verdict.Allow;
    const client = this.#clients.get(conn)!;
    const call = (): unknown => authorizePublish(client, topic, qos, retain);
    return this.#verdict("authorizePublish", `${conn}`, call);
  }

  subscribe(conn: ConnId, filter: string, qos: QoS): PolicyVerdict {
    const { authorizeSubscribe } = this.#options;
    if (authorizeSubscribe === undefined) return Verdict.Allow;
    const client = this.#clients.get(conn)!;
    const call = (): unknown => authorizeSubscribe(client, filter, qos);
    return this.#verdict("authorizeSubscribe", `${conn} ${filter}`, call);
  }

  /** Resolves a request that was answered with Pending. Rejects if the program's function rejects. */
  async decide(request: DecisionRequest): Promise<Decision> {
    const { conn } = request;
    if (request.kind === "authenticate" && request.method !== null) {
      return this.#exchange(request, request.method);
    }
    if (request.kind !== "subscribe") {
      const name = request.kind === "publish" ? "authorizePublish" : "authenticate";
      const refusal = refusalOf(name, await this.#take(`${conn}`), denial(request));
      return refusal === null ? { kind: "allow" } : denied(refusal);
    }
    const client = this.#clients.get(conn)!;
    const answers = request.filters.map(
      ({ filter, qos }) =>
        this.#take(`${conn} ${filter}`) ?? this.#options.authorizeSubscribe!(client, filter, qos),
    );
    const refusals = (await Promise.all(answers)).map((answer) =>
      refusalOf("authorizeSubscribe", answer, Reason.NotAuthorized),
    );
    const reasons = refusals.map((refusal) => (refusal?.reason ?? Reason.Success) as ReasonCode);
    const reasonString = refusals.find((refusal) => refusal !== null)?.reasonString;
    return { kind: "filters", reasons, ...(reasonString === undefined ? {} : { reasonString }) };
  }

  /** Drops the request of a connected client, because it contains secrets and costs memory. */
  forgetRequest(conn: ConnId): void {
    const client = this.#clients.get(conn);
    if (client !== undefined) client.request = null;
  }

  /** Drops all data of a connection that has ended. */
  forget(conn: ConnId): void {
    this.#clients.delete(conn);
    this.#exchanges.delete(conn);
  }

  async #exchange(request: AuthenticateRequest, method: string): Promise<Decision> {
    const { conn, step, data } = request;
    const client = this.#clients.get(conn)!;
    const begun = step === "continue" ? this.#exchanges.get(conn) : undefined;
    const exchange = begun ?? checkedExchange(method, this.#methods.get(method)!.begin(client));
    this.#exchanges.set(conn, exchange);
    const result = checkedStep(method, await exchange.step(data));
    if (result.kind === "challenge") return result;
    this.#exchanges.delete(conn);
    if (result.kind === "refuse")
      return denied({ ...result, reason: result.reason ?? Reason.NotAuthorized });
    const { username } = result;
    // A client that already has a user name, or that re-authenticates, keeps its name.
    if (client.username !== null && client.username !== username) {
      return { kind: "deny", reason: Reason.NotAuthorized };
    }
    client.username = username;
    return { kind: "allow", ...(result.data === undefined ? {} : { data: result.data }) };
  }

  #verdict(name: PolicyFunctionName, key: string, call: () => unknown): PolicyVerdict {
    let answer: unknown;
    try {
      answer = call();
      if (answer === true) return Verdict.Allow;
      if (answer === false) return Verdict.Deny;
      const code = isPromise(answer) ? null : plainCode(name, answer);
      if (code !== null) return code;
    } catch (error) {
      // Handled like a rejection: `decide` reports it.
      answer = Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    const later = Promise.resolve(answer);
    // `decide` reports a rejection. Until then the rejection must not count as unhandled.
    later.catch(() => {});
    this.#pending.set(key, later);
    return Verdict.Pending;
  }

  #take(key: string): Promise<unknown> | undefined {
    const answer = this.#pending.get(key);
    this.#pending.delete(key);
    return answer;
  }
}

/** The code of a refusal without a text and a server reference, else null. Throws ConfigError for an invalid answer. */
function plainCode(name: PolicyFunctionName, answer: unknown): PolicyVerdict | null {
  const { reason, reasonString, serverReference } = refusalOf(name, answer, 0)!;
  const isPlain = reasonString === undefined && serverReference === undefined;
  return isPlain ? (reason as PolicyVerdict) : null;
}

function denied({ reason, reasonString, serverReference }: ConnectRefusal): Decision {
  return {
    ...{ kind: "deny", reason: reason as ReasonCode },
    ...(reasonString === undefined ? {} : { reasonString }),
    ...(serverReference === undefined ? {} : { serverReference }),
  };
}

/** Refuses a function written for another library: it would call a callback and return nothing. */
function checkTakesNoCallback(authenticate: PolicyOptions["authenticate"]): void {
  if (authenticate === undefined || authenticate.length < CALLBACK_ARGUMENTS_MIN) return;
  const allowed =
    "a function (client, password) that returns its answer; client.username is the user name";
  throw new ConfigError("authenticate", authenticate, allowed);
}

function isPromise(answer: unknown): answer is PromiseLike<unknown> {
  return typeof (answer as PromiseLike<unknown> | null | undefined)?.then === "function";
}

function denial(request: DecisionRequest): ReasonCode {
  return request.kind === "authenticate" && request.username !== null
    ? Reason.BadUserNameOrPassword
    : Reason.NotAuthorized;
}

/** The function of aedes takes (client, username, password, callback). */
const CALLBACK_ARGUMENTS_MIN = 4;
const NO_BYTES = new Uint8Array(0);
