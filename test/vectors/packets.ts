/** Packet bytes with the verdict of the specification on their frame. `0`: the frame is incomplete. */
import { Reason } from "../../core/reason.ts";

export interface PacketVector {
  readonly name: string;
  readonly bytes: string;
  /** Count of frames, or minus the reason why the first frame is invalid. */
  readonly verdict: number;
}

const malformed = -Reason.MalformedPacket;
const noTopic = -Reason.TopicNameInvalid;
const tooLarge = -Reason.PacketTooLarge;

/** With a frame limit of 5000 bytes, names of at most 300 bytes and 20 levels. */
export const packetVectors: readonly PacketVector[] = [
  { name: "nothing", bytes: "", verdict: 0 },
  { name: "a first byte alone", bytes: "30", verdict: 0 },
  { name: "PINGREQ", bytes: "c0 00", verdict: 1 },
  { name: "two of them", bytes: "c000 c000", verdict: 2 },
  { name: "PUBLISH without payload", bytes: "30 03 0001 61", verdict: 1 },
  { name: "PUBLISH that is cut", bytes: "30 04 0001 61", verdict: 0 },
  { name: "PUBLISH with an empty topic", bytes: "30 02 0000", verdict: 1 },
  { name: "PUBLISH of no byte", bytes: "30 00", verdict: malformed },
  { name: "PUBLISH of one byte", bytes: "30 01 00", verdict: malformed },
  { name: "a topic beyond its frame", bytes: "30 03 0002 61 61", verdict: malformed },
  { name: "a length of two bytes where one does", bytes: "c0 80 00", verdict: 1 },
  { name: "a length of four bytes where one does", bytes: "c0 80 80 80 00", verdict: 1 },
  { name: "a length of five bytes", bytes: "c0 80 80 80 80 00", verdict: malformed },
  { name: "a length of four continued bytes", bytes: "c0 ff ff ff ff", verdict: malformed },
  { name: "the largest length", bytes: "c0 ff ff ff 7f", verdict: tooLarge },
  { name: "a length that is cut", bytes: "c0 ff ff ff", verdict: 0 },
  { name: "one byte beyond the limit", bytes: "c0 86 27", verdict: tooLarge },
  { name: "exactly the limit, cut", bytes: "c0 85 27", verdict: 0 },
  { name: "U+0000", bytes: "30 03 0001 00", verdict: malformed },
  { name: "U+0001", bytes: "30 03 0001 01", verdict: 1 },
  { name: "U+007F", bytes: "30 03 0001 7f", verdict: 1 },
  { name: "U+0080", bytes: "30 04 0002 c280", verdict: 1 },
  { name: "U+07FF", bytes: "30 04 0002 dfbf", verdict: 1 },
  { name: "U+0800", bytes: "30 05 0003 e0a080", verdict: 1 },
  { name: "U+FEFF, which is kept", bytes: "30 05 0003 efbbbf", verdict: 1 },
  { name: "U+FFFF", bytes: "30 05 0003 efbfbf", verdict: 1 },
  { name: "U+10000", bytes: "30 06 0004 f0908080", verdict: 1 },
  { name: "U+10FFFF", bytes: "30 06 0004 f48fbfbf", verdict: 1 },
  { name: "beyond U+10FFFF", bytes: "30 06 0004 f4908080", verdict: malformed },
  { name: "a first byte that is none", bytes: "30 06 0004 f5808080", verdict: malformed },
  { name: "an over-long U+0000", bytes: "30 04 0002 c080", verdict: malformed },
  { name: "an over-long slash", bytes: "30 04 0002 c0af", verdict: malformed },
  { name: "an over-long form of three", bytes: "30 05 0003 e09fbf", verdict: malformed },
  { name: "an over-long form of four", bytes: "30 06 0004 f08fbfbf", verdict: malformed },
  { name: "the first surrogate", bytes: "30 05 0003 eda080", verdict: malformed },
  { name: "the last surrogate", bytes: "30 05 0003 edbfbf", verdict: malformed },
  { name: "before the surrogates", bytes: "30 05 0003 ed9fbf", verdict: 1 },
  { name: "a lone continuation", bytes: "30 03 0001 80", verdict: malformed },
  { name: "a sequence cut by the end", bytes: "30 04 0002 e282", verdict: malformed },
  { name: "a sequence cut by ASCII", bytes: "30 05 0003 e28261", verdict: malformed },
  { name: "a sequence cut, payload goes on", bytes: "30 06 0003 e28261 ac", verdict: malformed },
  { name: "+", bytes: "30 03 0001 2b", verdict: noTopic },
  { name: "#", bytes: "30 03 0001 23", verdict: noTopic },
  { name: "a wildcard within", bytes: "30 05 0003 612b62", verdict: noTopic },
  {
    name: "a wildcard after sixteen bytes",
    bytes: `30 16 0014 ${"61".repeat(16)} 61 61 61 23`,
    verdict: noTopic,
  },
  {
    name: "a zero after sixteen bytes",
    bytes: `30 16 0014 ${"61".repeat(17)} 00 61 61`,
    verdict: malformed,
  },
  {
    name: "a zero in the first sixteen bytes",
    bytes: `30 16 0014 61 00 ${"61".repeat(18)}`,
    verdict: malformed,
  },
  {
    name: "two bytes across the sixteenth",
    bytes: `30 16 0014 ${"61".repeat(15)} c3a4 616161`,
    verdict: 1,
  },
  { name: "twenty levels", bytes: `30 15 0013 ${"2f".repeat(19)}`, verdict: 1 },
  { name: "twenty-one levels", bytes: `30 16 0014 ${"2f".repeat(20)}`, verdict: noTopic },
  { name: "a frame before a wrong one", bytes: "c000 30 03 0001 00", verdict: 1 },
  { name: "reserved type 0 is a frame", bytes: "00 00", verdict: 1 },
  { name: "QoS 3 is a frame", bytes: "36 03 0001 61", verdict: 1 },
];
