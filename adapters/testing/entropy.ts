/** Bytes that look random and are the same for the same seed. */
export function seededEntropy(seed: number): (out: Uint8Array) => void {
  let state = seed >>> 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      // A counter and a finaliser: every seed gives a well-mixed stream.
      state = (state + 0x9e37_79b9) >>> 0;
      let word = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a_2d97);
      out[i] = (word ^ (word >>> 15)) & 0xff;
    }
  };
}
