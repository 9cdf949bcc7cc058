/** Numbers as people read them. */
import type { Numeric } from "./record";

/** Three decimals as a textbook prints them; powers of ten where that shows nothing. */
export function decimal(x: Numeric): string {
  if (typeof x !== "number") return { nan: "NaN", inf: "∞", "-inf": "−∞" }[x];
  const size = Math.abs(x);
  const text = x === 0 || (size >= 5e-4 && size < 1e6) ? x.toFixed(3) : x.toExponential(3);
  return text.replace("-", "−");
}

/** Three significant digits, for a cell of a matrix. */
export function short(x: Numeric): string {
  if (typeof x !== "number") return decimal(x);
  const size = Math.abs(x);
  const text = x === 0 ? "0" : size >= 1e4 || size < 1e-3 ? x.toExponential(0) : Number(x.toPrecision(3)).toString();
  return text.replace("-", "−");
}

export function bytes(n: number): string {
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]] as const)
    if (n >= size) return `${Number((n / size).toPrecision(3))} ${unit}`;
  return `${n} B`;
}

export const count = (n: number): string => n.toLocaleString("en-US");
