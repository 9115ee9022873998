/** Enhanced authentication of one connection, MQTT 5.0 §4.12. */

/** An authentication by a method of more than one step. */
export interface Exchange {
  readonly method: string;
  /** Variable header and payload of the CONNECT that is handled when the exchange has succeeded. */
  readonly connect: Uint8Array;
  /** The broker has sent a challenge, and the client has not answered it yet. */
  isChallenged: boolean;
  /** Authentication Data for the CONNACK or for the last AUTH. */
  data: Uint8Array | null;
}
