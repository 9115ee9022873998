/** What each limit means, in a sentence: apart from the limits, for those who have to be small. */
import type { LimitName } from "./config.ts";

export const limitHelp: Readonly<Record<LimitName, string>> = {
  packetBytesMax: "Longest packet accepted, header included",
  topicBytesMax: "Longest topic name or filter",
  topicLevelsMax: "Most levels in a topic name or filter",
  topicTableBytesMax: "Memory for interned topic names; emptied when full",
  codecBytesMax: "Memory of the WebAssembly codec: subscriptions and interned topic names",
  clientIdBytesMax: "Longest client identifier",
  clientIdLengthCheck:
    "1 refuses MQTT 3.1 clients whose identifier does not have 1 to 23 characters, as 3.1 asks",
  connectionsMax: "Most connections at once",
  sessionsMax:
    "Most sessions that outlive their connection, connected or away; a new one beyond is refused",
  subscriptionsPerClientMax: "Maximum subscriptions of one client",
  subscriptionsMax: "Maximum subscriptions of all clients together",
  inflightMax: "Most QoS 1 and 2 messages sent to a client and not yet acknowledged by it",
  receiveMax:
    "Maximum QoS 1 and 2 messages received from one client and not yet acknowledged. MQTT 5.0 clients are told it as Receive Maximum and closed beyond it; older clients are not read while so many wait for PUBACK or PUBREC",
  qosMax: "Highest QoS that clients may publish with and are granted",
  topicAliasMax: "Most topic aliases that a client may set",
  topicAliasOutMax: "Most topic aliases used towards a client that takes them",
  keepAliveSecondsMax:
    "Longest keep alive, imposed on MQTT 5.0 clients that ask for more or none; 0 is any",
  retainAvailable: "0 refuses retained messages",
  wildcardAvailable: "0 refuses filters with wildcards",
  sharedAvailable: "0 refuses shared subscriptions",
  subscriptionIdAvailable: "0 refuses subscription identifiers",
  bridgeStateAvailable:
    "0 refuses what clients publish to $SYS/broker/connection/+/state, where bridges tell their state",
  payloadFormatCheck: "1 refuses payloads that claim to be text and are not UTF-8",
  queuedMessagesMax: "Most QoS 1 and 2 messages waiting for one session; newest dropped beyond",
  queuedBytesMax:
    "Most bytes of QoS 1 and 2 messages waiting for one session; newest dropped beyond",
  queueQos0: "1 queues QoS 0 messages for sessions that are away, 0 drops them",
  outputBytesMax: "Most bytes waiting for a reader that takes none; QoS 0 to it is dropped beyond",
  stallMillisMax: "How long a reader may take no bytes that wait for it before it is closed",
  messageBytesMax:
    "Memory for all messages: queued, retained and in flight; one message counts once, and 16 bytes for each session it waits for",
  inputBytesMax: "Memory for packets that have arrived in part, of all connections",
  journalBacklogMax: "Most writes waiting for the store; who made them write is not read beyond",
  retainedMessagesMax: "Most retained messages; a new topic beyond is not retained",
  retainedBytesMax: "Most bytes of retained messages; what would exceed it is not retained",
  retainedMillisMax: "How long a message stays retained; 0 is for ever",
  sessionMillisMax:
    "How long the session of a client that is away is kept, in MQTT 3.1.1 every one with Clean Session 0; the default is 30 days",
  connectMillisMax: "How long a new connection may take to send its CONNECT",
  keepAliveFactor: "How many times its keep alive a client may be silent before it is closed",
  sysMillis: "How often $SYS topics are published; 0 is never",
  fanoutSlice: "Most deliveries of one message made in one go",
  eventsMax: "Most events kept until they are polled; oldest dropped beyond",
};
