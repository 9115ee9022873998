/** The characters with a meaning in topic names and filters, as bytes. */
export const PLUS = 0x2b;
export const NUMBER_SIGN = 0x23;
export const SLASH = 0x2f;
export const DOLLAR = 0x24;
