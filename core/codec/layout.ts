/** The layout of the frame table, shared by all implementations of Ingest. Only constants. */

/** Words in a row: [offset, first byte | header length << 8, remaining length, topic id]. */
export const ROW_WORDS = 4;
export const ROW_OFFSET = 0;
export const ROW_HEADER = 1;
export const ROW_REMAINING = 2;
export const ROW_TOPIC = 3;
/** The longest fixed header: a type byte and four bytes of remaining length. */
export const HEADER_BYTES_MAX = 5;
/** The largest remaining length that four bytes can encode, MQTT 5.0 §2.1.4. */
export const REMAINING_MAX = 268_435_455;

/** Faults that a scan reports: the reason codes of the same name (reason.ts). */
export const FAULT_MALFORMED = 0x81;
export const FAULT_TOPIC_NAME = 0x90;
export const FAULT_TOO_LARGE = 0x95;
/** `scan` returns this when it has to see more of the chunk than the window it was given. */
export const NEEDS_WINDOW = -0x1_0000;

/** The result of adding a subscription to a topic index: the values of `Added` (ports.ts). */
export const ADDED_REPLACED = 0;
export const ADDED_NEW = 1;
export const ADDED_NO_MEMORY = 2;

/** A flag beside the row count of a match: there are more rows. */
export const MATCH_MORE = 0x8000_0000;
