/** Typed arrays that grow. Growing keeps the values and at least doubles the length. */

/** Returns `column`, or a longer copy of it that has an element at `index`. */
type Grow<Column> = (column: Column, index: number) => Column;

export const grownU8: Grow<Uint8Array> = growing<Uint8Array>((length) => new Uint8Array(length));
export const grownU16: Grow<Uint16Array> = growing<Uint16Array>(
  (length) => new Uint16Array(length),
);
export const grownU32: Grow<Uint32Array> = growing<Uint32Array>(
  (length) => new Uint32Array(length),
);
export const grownI32: Grow<Int32Array> = growing<Int32Array>((length) => new Int32Array(length));
export const grownF64: Grow<Float64Array> = growing<Float64Array>(
  (length) => new Float64Array(length),
);

function growing<Column extends { readonly length: number; set(from: Column): void }>(
  create: (length: number) => Column,
): Grow<Column> {
  return (column, index) => {
    if (index < column.length) return column;
    const larger = create(Math.max(index + 1, column.length * 2, 16));
    larger.set(column);
    return larger;
  };
}
