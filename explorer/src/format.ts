/** Numbers as people read them. */
import type { Numbers, Numeric } from "./record";

/** Three decimals as a textbook prints them; powers of ten where that shows nothing. */
export function decimal(x: Numeric): string {
  if (typeof x !== "number") return { nan: "NaN", inf: "∞", "-inf": "−∞" }[x];
  const size = Math.abs(x);
  const text = x === 0 || (size >= 5e-4 && size < 1e6) ? x.toFixed(3) : x.toExponential(3);
  return text.replace("-", "−");
}

/** Three significant digits; of powers of ten two, so that sizes can be compared. */
export function short(x: Numeric, exponential = 1): string {
  if (typeof x !== "number") return decimal(x);
  const size = Math.abs(x);
  const text = x === 0 ? "0" : size >= 1e4 || size < 1e-3 ? x.toExponential(exponential) : Number(x.toPrecision(3)).toString();
  return text.replaceAll("-", "−");
}

/** The same for a cell of a matrix, where there is less room. */
export const cell = (x: Numeric): string => short(x, 0);

/** a + bi, of the texts of a and b. */
function complex(real: string, imaginary: string): string {
  return imaginary.startsWith("−") ? `${real} − ${imaginary.slice(1)}i` : `${real} + ${imaginary}i`;
}

/** One element as text, by `decimal` or `short`. */
export function element(numbers: Numbers, i: number, write: (x: Numeric) => string): string {
  const real = write(numbers.data![i]!);
  return numbers.imaginary ? complex(real, write(numbers.imaginary[i]!)) : real;
}

/** The number of an array that has one alone, as text; null for all others. */
export const only = (numbers: Numbers): string | null => (numbers.data?.length === 1 ? element(numbers, 0, decimal) : null);

export function bytes(n: number): string {
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]] as const)
    if (n >= size) return `${Number((n / size).toPrecision(3))} ${unit}`;
  return `${n} B`;
}

export const count = (n: number): string => n.toLocaleString("en-US");
