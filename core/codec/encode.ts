/** Packets that a server sends now and then, as bytes of their own. PUBLISH and acknowledgements are
 * written where they leave (message/publish-writer.ts, connection/send.ts). */
import { FirstByte } from "./packet.ts";
import { remainingLengthBytes, writeRemainingLength } from "./varint.ts";

export function encodeConnack(isSessionPresent: boolean, returnCode: number): Uint8Array {
  return Uint8Array.of(FirstByte.Connack, 2, isSessionPresent ? 1 : 0, returnCode);
}

/** One return code per filter, in the order of the SUBSCRIBE [MQTT311-3.9.3-1]. */
export function encodeSuback(packetId: number, returnCodes: readonly number[]): Uint8Array {
  const remaining = 2 + returnCodes.length;
  const lengthBytes = remainingLengthBytes(remaining);
  const packet = new Uint8Array(1 + lengthBytes + remaining);
  packet[0] = FirstByte.Suback;
  let at = writeRemainingLength(packet, 1, remaining);
  packet[at++] = packetId >> 8;
  packet[at++] = packetId & 0xff;
  packet.set(returnCodes, at);
  return packet;
}
