/** Typed arrays that grow. Growing keeps the values and at least doubles the length. */

/** Returns `column`, or a longer copy of it that has an element at `index`. */
export function grownU8(column: Uint8Array, index: number): Uint8Array {
  return index < column.length
    ? column
    : copied(column, new Uint8Array(grownLength(column, index)));
}
export function grownU16(column: Uint16Array, index: number): Uint16Array {
  return index < column.length
    ? column
    : copied(column, new Uint16Array(grownLength(column, index)));
}
export function grownU32(column: Uint32Array, index: number): Uint32Array {
  return index < column.length
    ? column
    : copied(column, new Uint32Array(grownLength(column, index)));
}
export function grownF64(column: Float64Array, index: number): Float64Array {
  return index < column.length
    ? column
    : copied(column, new Float64Array(grownLength(column, index)));
}

function grownLength(column: { readonly length: number }, index: number): number {
  return Math.max(index + 1, column.length * 2, 16);
}

function copied<C extends { set(from: C): void }>(from: C, to: C): C {
  to.set(from);
  return to;
}
