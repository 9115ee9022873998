/**
 * The counters of the broker, as indices into one Float64Array that the host may read at any time.
 *
 * A counter only grows; a gauge is the current value. Counting on the data path costs one addition
 * to an element of a typed array.
 */
export interface CounterSpec {
  readonly kind: "counter" | "gauge";
  readonly help: string;
}

/**
 * The longest times, in milliseconds, of the buckets of commit times. Each bucket has a counter, and
 * so have the commits that took longer than all of them.
 */
export const commitMillisBounds = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000] as const;
type Bounds = typeof commitMillisBounds;
type LongestBound = Bounds extends readonly [...unknown[], infer Last extends number]
  ? Last
  : never;
type CommitCounterName =
  | `commitsWithin${Bounds[number]}Millis`
  | `commitsOver${LongestBound}Millis`;

/** A literal, so that engines fold `Counter.x` to a constant. */
const indices = {
  connectionsOpened: 0,
  connectionsClosed: 1,
  connectionsRefused: 2,
  connectsAccepted: 3,
  connectsRefused: 4,
  clientsConnected: 5,
  clientsMaximum: 6,
  sessions: 7,
  sessionsExpired: 8,
  sessionsTakenOver: 9,
  packetsReceived: 10,
  packetsSent: 11,
  bytesReceived: 12,
  bytesSent: 13,
  publishesReceived: 14,
  publishesSent: 15,
  publishBytesReceived: 16,
  publishBytesSent: 17,
  publishesDuplicate: 18,
  publishesDenied: 19,
  droppedSlowReader: 20,
  droppedQueueFull: 21,
  droppedNoMemory: 22,
  retainedRefused: 23,
  retainedExpired: 24,
  retainedMessages: 25,
  retainedBytes: 26,
  subscriptions: 27,
  subscribesDenied: 28,
  messages: 29,
  messageBytes: 30,
  outputBytes: 31,
  inputBytes: 32,
  inflight: 33,
  queued: 34,
  closedMalformed: 35,
  closedProtocolError: 36,
  closedTooLarge: 37,
  closedTopicInvalid: 38,
  closedKeepAlive: 39,
  closedConnectTimeout: 40,
  closedStalled: 41,
  closedQuota: 42,
  closedByCommand: 43,
  acknowledgementsUnknown: 44,
  willsPublished: 45,
  eventsDropped: 46,
  commitsFailed: 47,
  droppedExpired: 48,
  droppedTooLarge: 49,
  droppedNoMember: 50,
  sharedSubscriptions: 51,
  authenticationsExtended: 52,
  clockHeld: 53,
  sharedMembers: 54,
  hostMemoryBytes: 55,
  storeFull: 56,
  commits: 57,
  commitMillis: 58,
  acknowledgedStored: 59,
  acknowledgedReceived: 60,
  messagesPaged: 61,
  messagesLoaded: 62,
  storeBytes: 63,
  droppedStoreFull: 64,
  droppedLost: 65,
  loadsFailed: 66,
} as const;

/** The index of the first bucket; the others follow it. */
export const COMMIT_BUCKETS_START: number = Object.keys(indices).length;

/** Name and meaning of the counter of each bucket. */
const commitCounters: readonly (readonly [CommitCounterName, CounterSpec])[] = [
  ...commitMillisBounds.map((bound, i) => {
    const lower = i === 0 ? "" : `more than ${commitMillisBounds[i - 1]} and `;
    const help = `Commits that took ${lower}at most ${bound} ms`;
    return [`commitsWithin${bound}Millis`, { kind: "counter", help }] as const;
  }),
  ...commitMillisBounds.slice(-1).map((bound) => {
    const help = `Commits that took more than ${bound} ms`;
    return [`commitsOver${bound as LongestBound}Millis`, { kind: "counter", help }] as const;
  }),
];

/** The index of each counter. */
export const Counter: typeof indices & Readonly<Record<CommitCounterName, number>> = Object.assign(
  indices,
  Object.fromEntries(commitCounters.map(([name], i) => [name, COMMIT_BUCKETS_START + i])) as Record<
    CommitCounterName,
    number
  >,
);
export type CounterName = keyof typeof Counter;
export const counterNames: readonly CounterName[] = Object.keys(Counter) as CounterName[];

/** Kind and meaning of each counter. */
export const counterTable: Readonly<Record<CounterName, CounterSpec>> = {
  connectionsOpened: { kind: "counter", help: "Transports opened" },
  connectionsClosed: { kind: "counter", help: "Transports closed" },
  connectionsRefused: {
    kind: "counter",
    help: "Transports refused because connectionsMax was reached",
  },
  connectsAccepted: { kind: "counter", help: "CONNECT packets accepted" },
  connectsRefused: { kind: "counter", help: "CONNECT packets refused" },
  clientsConnected: { kind: "gauge", help: "Clients connected" },
  clientsMaximum: { kind: "gauge", help: "Most clients connected at once" },
  sessions: { kind: "gauge", help: "Sessions, connected and disconnected" },
  sessionsExpired: {
    kind: "counter",
    help: "Sessions that expired while their client was disconnected",
  },
  sessionsTakenOver: {
    kind: "counter",
    help: "Connections closed because their client connected again",
  },
  packetsReceived: { kind: "counter", help: "Packets received" },
  packetsSent: { kind: "counter", help: "Packets sent" },
  bytesReceived: { kind: "counter", help: "Bytes received" },
  bytesSent: { kind: "counter", help: "Bytes sent" },
  publishesReceived: { kind: "counter", help: "PUBLISH packets received" },
  publishesSent: { kind: "counter", help: "PUBLISH packets sent" },
  publishBytesReceived: { kind: "counter", help: "Payload bytes received" },
  publishBytesSent: { kind: "counter", help: "Payload bytes sent" },
  publishesDuplicate: {
    kind: "counter",
    help: "QoS 2 PUBLISH packets received again before their release",
  },
  publishesDenied: { kind: "counter", help: "PUBLISH packets that the policy denied" },
  droppedSlowReader: {
    kind: "counter",
    help: "QoS 0 deliveries dropped because the reader's output was full",
  },
  droppedQueueFull: {
    kind: "counter",
    help: "QoS 1 and 2 deliveries dropped because the queue was full",
  },
  droppedNoMemory: {
    kind: "counter",
    help: "Messages refused because messageBytesMax was reached",
  },
  retainedRefused: { kind: "counter", help: "Messages not retained because a limit was reached" },
  retainedExpired: { kind: "counter", help: "Retained messages that expired" },
  retainedMessages: { kind: "gauge", help: "Retained messages" },
  retainedBytes: { kind: "gauge", help: "Bytes of retained messages" },
  subscriptions: { kind: "gauge", help: "Subscriptions" },
  subscribesDenied: { kind: "counter", help: "Filters of SUBSCRIBE packets that were denied" },
  messages: { kind: "gauge", help: "Messages in memory" },
  messageBytes: { kind: "gauge", help: "Memory for messages, in bytes" },
  outputBytes: { kind: "gauge", help: "Bytes of messages ready to be sent" },
  inputBytes: {
    kind: "gauge",
    help: "Memory for partial packets, backlogs and topic aliases, in bytes",
  },
  inflight: { kind: "gauge", help: "QoS 1 and 2 messages sent and not yet acknowledged" },
  queued: { kind: "gauge", help: "QoS 1 and 2 messages waiting for a client" },
  closedMalformed: { kind: "counter", help: "Connections closed for a malformed packet" },
  closedProtocolError: { kind: "counter", help: "Connections closed for a protocol error" },
  closedTooLarge: {
    kind: "counter",
    help: "Connections closed for a packet beyond packetBytesMax",
  },
  closedTopicInvalid: {
    kind: "counter",
    help: "Connections closed for an invalid topic name or filter",
  },
  closedKeepAlive: { kind: "counter", help: "Connections closed because the keep alive expired" },
  closedConnectTimeout: { kind: "counter", help: "Connections closed because no CONNECT arrived" },
  closedStalled: { kind: "counter", help: "Connections closed because the reader took no bytes" },
  closedQuota: { kind: "counter", help: "Connections closed because a quota was exceeded" },
  closedByCommand: { kind: "counter", help: "Connections closed by a command" },
  acknowledgementsUnknown: {
    kind: "counter",
    help: "Acknowledgements received for no message in flight",
  },
  willsPublished: { kind: "counter", help: "Wills published" },
  eventsDropped: { kind: "counter", help: "Events dropped because too many waited to be polled" },
  commitsFailed: { kind: "counter", help: "Journal batches that could not be stored" },
  droppedExpired: {
    kind: "counter",
    help: "Deliveries dropped because the message had expired",
  },
  droppedTooLarge: {
    kind: "counter",
    help: "Deliveries dropped because of the client's Maximum Packet Size",
  },
  droppedNoMember: {
    kind: "counter",
    help: "Messages of shared subscriptions that no member could receive",
  },
  sharedSubscriptions: {
    kind: "gauge",
    help: "Shared subscriptions, each counted once",
  },
  authenticationsExtended: {
    kind: "counter",
    help: "Challenges sent in enhanced authentication",
  },
  clockHeld: {
    kind: "counter",
    help: "Calls whose time went back; the broker's time stood still",
  },
  sharedMembers: {
    kind: "gauge",
    help: "Members of shared subscriptions",
  },
  hostMemoryBytes: {
    kind: "gauge",
    help: "Memory of the process as last reported by the host, in bytes; 0: not reported",
  },
  storeFull: {
    kind: "gauge",
    help: "1 while the store has no room, 0 otherwise",
  },
  acknowledgedStored: {
    kind: "counter",
    help: "QoS 1 and 2 messages acknowledged once they were stored, or needed no store",
  },
  acknowledgedReceived: {
    kind: "counter",
    help: "QoS 1 and 2 messages acknowledged once they were received",
  },
  commits: { kind: "counter", help: "Journal batches that were stored at the first attempt" },
  commitMillis: { kind: "counter", help: "Time that the store took for them, in milliseconds" },
  messagesPaged: {
    kind: "gauge",
    help: "Queued messages whose bytes are in the store and not in memory",
  },
  messagesLoaded: { kind: "counter", help: "Messages loaded from the store to be sent" },
  storeBytes: { kind: "gauge", help: "Bytes of messages and queue entries in the store" },
  droppedStoreFull: {
    kind: "counter",
    help: "QoS 1 and 2 deliveries dropped because storeBytesMax was reached",
  },
  droppedLost: {
    kind: "counter",
    help: "Deliveries dropped because the store did not have the message any more",
  },
  loadsFailed: { kind: "counter", help: "Loads of messages that the store failed to answer" },
  ...(Object.fromEntries(commitCounters) as Record<CommitCounterName, CounterSpec>),
};
