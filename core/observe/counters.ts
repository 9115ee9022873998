/**
 * What the broker counts, as indices into one Float64Array that the host may read at any time.
 *
 * A counter only grows; a gauge is what there is now. Adding one to an element of a typed array is all
 * that counting costs on the data path.
 */
export interface CounterSpec {
  readonly kind: "counter" | "gauge";
  readonly help: string;
}

/** The index of each counter. A literal, so that engines fold `Counter.x` to a constant. */
export const Counter = {
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
} as const;
export type CounterName = keyof typeof Counter;
export const counterNames: readonly CounterName[] = Object.keys(Counter) as CounterName[];

/** What each counter counts. */
export const counterTable: Readonly<Record<CounterName, CounterSpec>> = {
  connectionsOpened: counter("Transports opened"),
  connectionsClosed: counter("Transports closed"),
  connectionsRefused: counter("Transports refused because connectionsMax was reached"),
  connectsAccepted: counter("CONNECT packets accepted"),
  connectsRefused: counter("CONNECT packets refused"),
  clientsConnected: gauge("Clients connected"),
  clientsMaximum: gauge("Most clients connected at once"),
  sessions: gauge("Sessions, connected and away"),
  sessionsExpired: counter("Sessions that ended because their client stayed away"),
  sessionsTakenOver: counter("Connections closed because their client connected anew"),
  packetsReceived: counter("Packets received"),
  packetsSent: counter("Packets sent"),
  bytesReceived: counter("Bytes received"),
  bytesSent: counter("Bytes sent"),
  publishesReceived: counter("PUBLISH packets received"),
  publishesSent: counter("PUBLISH packets sent"),
  publishBytesReceived: counter("Payload bytes received"),
  publishBytesSent: counter("Payload bytes sent"),
  publishesDuplicate: counter("QoS 2 PUBLISH packets received again before their release"),
  publishesDenied: counter("PUBLISH packets that the policy denied"),
  droppedSlowReader: counter("QoS 0 deliveries dropped because the reader's output was full"),
  droppedQueueFull: counter("QoS 1 and 2 deliveries dropped because the queue was full"),
  droppedNoMemory: counter("Messages refused because messageBytesMax was reached"),
  retainedRefused: counter("Messages not retained because a limit was reached"),
  retainedExpired: counter("Retained messages that expired"),
  retainedMessages: gauge("Retained messages"),
  retainedBytes: gauge("Bytes of retained messages"),
  subscriptions: gauge("Subscriptions"),
  subscribesDenied: counter("Filters of SUBSCRIBE packets that were denied"),
  messages: gauge("Messages in memory"),
  messageBytes: gauge("Memory for messages, in bytes"),
  outputBytes: gauge("Bytes of messages ready to be sent"),
  inputBytes: gauge("Memory for packets that have arrived in part, in bytes"),
  inflight: gauge("QoS 1 and 2 messages sent and not yet acknowledged"),
  queued: gauge("QoS 1 and 2 messages waiting for a client"),
  closedMalformed: counter("Connections closed for a malformed packet"),
  closedProtocolError: counter("Connections closed for a protocol error"),
  closedTooLarge: counter("Connections closed for a packet beyond packetBytesMax"),
  closedTopicInvalid: counter("Connections closed for an invalid topic name or filter"),
  closedKeepAlive: counter("Connections closed because the keep alive passed"),
  closedConnectTimeout: counter("Connections closed because no CONNECT came"),
  closedStalled: counter("Connections closed because the reader took no bytes"),
  closedQuota: counter("Connections closed because a quota was exceeded"),
  closedByCommand: counter("Connections closed by a command"),
  acknowledgementsUnknown: counter("Acknowledgements received for no message in flight"),
  willsPublished: counter("Wills published"),
  eventsDropped: counter("Events dropped because nobody polled them"),
  commitsFailed: counter("Groups of writes that the store could not take"),
  droppedExpired: counter("Deliveries dropped because the message's time was over"),
  droppedTooLarge: counter(
    "Deliveries dropped because the packet was longer than the client takes",
  ),
  droppedNoMember: counter("Messages of shared subscriptions that no member could be given"),
  sharedSubscriptions: gauge("Shared subscriptions, whatever the number of their members"),
  authenticationsExtended: counter("Authentications of more than one step, and repeated ones"),
};

function counter(help: string): CounterSpec {
  return { kind: "counter", help };
}
function gauge(help: string): CounterSpec {
  return { kind: "gauge", help };
}
