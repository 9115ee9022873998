/** Messages that were loaded from the store to be sent. */
import { assert } from "../base/assert.ts";
import type { Effect } from "../boundary.ts";
import { EffectKind, NO_CONN } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import { decodeMessageValue } from "../journal/decode-records.ts";
import { createStored } from "../journal/stored-message.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { Counter } from "../observe/counters.ts";
import { Reason } from "../reason.ts";
import type { Page, PagedOutbox } from "../session/page.ts";

/** Fills `effect` with the next load; false if there is none. */
export function pollLoad({ pager }: BrokerContext, effect: Effect): boolean {
  effect.numbers = pager?.pollLoad() ?? null;
  if (effect.numbers === null) return false;
  effect.kind = EffectKind.Load;
  effect.conn = NO_CONN;
  effect.reason = Reason.Success;
  effect.request = null;
  return true;
}

/** Answers a `Load` effect. Ignores an answer that nobody waits for. */
export function handleLoaded(
  context: BrokerContext,
  numbers: Float64Array,
  values: readonly (Uint8Array | null)[],
): void {
  assert(values.length === numbers.length, "a load is answered with a value for each number");
  const { pager, messages } = context;
  const page = pager?.takePage(numbers) ?? null;
  if (page === null) return;
  // Each has a reference of this function until the entries have theirs.
  const created: MessageSlot[] = [];
  for (let i = 0; i < values.length; i++) {
    const message = restore(context, page, i, values[i]!);
    if (message !== 0) created.push(message);
  }
  pager!.placePage(page);
  for (const message of created) messages.release(message);
  continueSending(context, page.owner);
}

/** Pages out messages that were left, and continues with those that need not be loaded. */
export function continuePaging(context: BrokerContext): void {
  for (const outbox of context.pager?.handleTimeout(context.now) ?? []) {
    continueSending(context, outbox);
  }
}

/** The store has failed. */
export function handleLoadFailure(context: BrokerContext, numbers: Float64Array): void {
  context.journal.hasFailed = true;
  context.counters[Counter.loadsFailed]!++;
  const page = context.pager?.takePage(numbers) ?? null;
  if (page !== null) page.owner.placePage(page);
}

/** Makes a message of the page again from its record; 0: it is not needed, lost, or has no room. */
function restore(
  { pager, messages, events, counters }: BrokerContext,
  page: Page,
  index: number,
  value: Uint8Array | null,
): MessageSlot {
  const { owner: outbox } = page;
  const { clientId, connSlot } = outbox.owner;
  const paged = page.messages[index]!;
  // Meanwhile the session may have ended, or the client may have gone or acknowledged the message.
  if (connSlot === 0 || !outbox.hasPlace(page, index) || pager!.paged.resident(paged) !== 0) {
    return 0;
  }
  const number = page.serials[index]!;
  const fields = value === null ? null : decodeMessageValue(number, value);
  if (fields === null) {
    pager!.paged.setLost(paged);
    events.push({ kind: "messageLost", clientId, number });
    return 0;
  }
  // Checked first, because a message that is not created counts as dropped.
  const hasRoom = messages.hasRoom(value!.length);
  const expiresAt = pager!.paged.expiresAt(paged);
  const message = hasRoom ? createStored(messages, value!, fields, expiresAt) : 0;
  if (message === 0) {
    pager!.starve();
    return 0;
  }
  pager!.paged.link(paged, message);
  counters[Counter.messagesLoaded]!++;
  return message;
}

/** The next messages of a client are in memory. */
function continueSending({ sendQueue }: BrokerContext, outbox: PagedOutbox): void {
  const { connSlot } = outbox.owner;
  if (connSlot === 0) return;
  const hasReady = outbox.refill();
  if (hasReady || outbox.resendPosition >= 0) sendQueue.schedule(connSlot);
}
