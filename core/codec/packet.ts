/** Packet types as encoded in the first byte of a packet, MQTT 5.0 §2.1.2. */
export const PacketType = {
  Connect: 1,
  Connack: 2,
  Publish: 3,
  Puback: 4,
  Pubrec: 5,
  Pubrel: 6,
  Pubcomp: 7,
  Subscribe: 8,
  Suback: 9,
  Unsubscribe: 10,
  Unsuback: 11,
  Pingreq: 12,
  Pingresp: 13,
  Disconnect: 14,
  /** MQTT 5.0 only. */ Auth: 15,
} as const;

/** First bytes of the packets whose flags are fixed. */
export const FirstByte = {
  Connack: 0x20,
  Puback: 0x40,
  Pubrec: 0x50,
  Pubrel: 0x62,
  Pubcomp: 0x70,
  Suback: 0x90,
  Unsuback: 0xb0,
  Pingresp: 0xd0,
  Disconnect: 0xe0,
  Auth: 0xf0,
} as const;
