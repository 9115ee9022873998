/** Enhanced authentication of one connection, MQTT 5.0 §4.12. */

/** An authentication in steps. */
export interface Exchange {
  readonly method: string;
  /**
   * Variable header and payload of the CONNECT. It is handled again when the exchange has
   * succeeded.
   */
  readonly connect: Uint8Array;
  /** The broker has sent a challenge, and the client has not responded yet. */
  isChallenged: boolean;
  /** Authentication Data for the CONNACK or the last AUTH. */
  data: Uint8Array | null;
}
