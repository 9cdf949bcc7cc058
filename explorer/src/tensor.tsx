/** The numbers of an array: one number, a grid of readable cells, or a heat map; with what a summary says of them. */
import { useEffect, useRef } from "preact/hooks";
import { cell, element, only, short } from "./format";
import { sizeOf, shapeText, type Numbers, type Numeric } from "./record";
import { useText, useTheme } from "./context";

const CELLS = 64; // that are written as numbers
const COLUMNS = 8;
const NARROW = 4; // columns that fit on a phone
const NAMED = 8; // rows beside the names of columns

/** Where an array is seen: one cell an element, of its absolute value where it is complex. */
interface Grid {
  rows: number;
  columns: number;
  data: Numeric[];
}

function gridOf(shape: number[], numbers: Numbers): Grid | null {
  if (numbers.data) {
    const columns = shape.at(-1) ?? 1;
    return { rows: columns ? sizeOf(shape) / columns : 0, columns, data: sizes(numbers) };
  }
  if (numbers.picture) {
    const [rows, columns] = numbers.picture.shape;
    return { rows, columns, data: numbers.picture.data };
  }
  return null;
}

function sizes({ data, imaginary }: Numbers): Numeric[] {
  if (!imaginary) return data!;
  const size = (x: Numeric, y: Numeric) => (typeof x === "number" && typeof y === "number" ? Math.hypot(x, y) : "nan");
  return data!.map((x, i) => size(x, imaginary[i]!));
}

const largest = (data: Numeric[]): number => data.reduce<number>((most, x) => (typeof x === "number" ? Math.max(most, Math.abs(x)) : most), 0);

interface Props {
  shape: number[];
  numbers: Numbers;
  label: string;
  /** Names along the last axis. */
  columns?: string[] | null;
}

export function Tensor({ shape, numbers, label, columns }: Props) {
  const text = useText();
  const number = only(numbers);
  if (number !== null) return <output class="number">{number}</output>;
  const grid = gridOf(shape, numbers);
  const named = columns && numbers.data && grid && grid.rows <= NAMED ? columns : null;
  const summary = [
    `${text.norm} ${short(numbers.norm)}`,
    ...(numbers.min !== null && numbers.max !== null ? [`${text.range} ${short(numbers.min)} … ${short(numbers.max)}`] : []),
    ...(numbers.zeros ? [`${text.zeros} ${numbers.zeros}`] : []),
    ...(numbers.not_finite ? [`${text.notFinite} ${numbers.not_finite}`] : []),
  ].map((item) => item.replaceAll(" ", "\u00a0")).join(" · ");
  return (
    <figure class="tensor">
      {grid && (named
        ? <Named grid={grid} numbers={numbers} names={named} label={label} />
        : grid.data.length <= CELLS && grid.columns <= COLUMNS && numbers.data
          ? <Cells grid={grid} numbers={numbers} label={label} />
          : <HeatMap grid={grid} label={`${label}, ${shapeText(shape)}: ${summary}`} />)}
      <figcaption>
        {shapeText(shape)} · {summary}
        {!numbers.data && numbers.picture && ` · ${text.sampled(shapeText(numbers.picture.shape))}`}
        {columns && !named && <><br />{text.columns}: {columns.join(", ")}</>}
      </figcaption>
    </figure>
  );
}

/** Columns by name, one below the other. */
function Named({ grid, numbers, names, label }: { grid: Grid; numbers: Numbers; names: string[]; label: string }) {
  const most = largest(grid.data);
  return (
    <div class="scroll named" tabIndex={0} role="group" aria-label={label}>
      <table class="cells" aria-label={label}>
        <tbody>
          {names.map((name, j) => (
            <tr key={j}>
              <th scope="row">{name}</th>
              {Array.from({ length: grid.rows }, (_, i) => <Cell key={i} grid={grid} numbers={numbers} place={i * grid.columns + j} most={most} />)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ grid, numbers, place, most }: { grid: Grid; numbers: Numbers; place: number; most: number }) {
  return <td style={{ background: tint(grid.data[place]!, most) }}>{element(numbers, place, cell)}</td>;
}

/** Color by sign and size; at most half of it, so that the number on it stays readable. */
function tint(x: Numeric, most: number): string {
  if (typeof x !== "number") return "var(--bad)";
  const share = most ? Math.round((50 * Math.abs(x)) / most) : 0;
  return `color-mix(in oklab, var(${x < 0 ? "--negative" : "--positive"}) ${share}%, var(--paper))`;
}

function Cells({ grid, numbers, label }: { grid: Grid; numbers: Numbers; label: string }) {
  const most = largest(grid.data);
  const table = (
    <table class="cells" aria-label={label}>
      <tbody>
        {Array.from({ length: grid.rows }, (_, i) => (
          <tr key={i}>
            {Array.from({ length: grid.columns }, (_, j) => <Cell key={j} grid={grid} numbers={numbers} place={i * grid.columns + j} most={most} />)}
          </tr>
        ))}
      </tbody>
    </table>
  );
  if (grid.columns <= NARROW && !numbers.imaginary) return table;
  return <div class="wide" tabIndex={0} role="group" aria-label={label}>{table}</div>;
}

function HeatMap({ grid, label }: { grid: Grid; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useTheme();
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!canvas.current || !context) return;
    const style = getComputedStyle(canvas.current);
    const [paper, positive, negative] = ["--paper-rgb", "--positive-rgb", "--negative-rgb"].map((name) =>
      style.getPropertyValue(name).split(",").map(Number),
    ) as [number[], number[], number[]];
    const image = context.createImageData(grid.columns, grid.rows);
    const most = largest(grid.data) || 1;
    grid.data.forEach((x, i) => {
      const finite = typeof x === "number";
      const share = finite ? Math.abs(x) / most : 1;
      const color = !finite ? [204, 121, 167] : x < 0 ? negative : positive;
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = paper[k]! + share * (color[k]! - paper[k]!);
      image.data[4 * i + 3] = 255;
    });
    context.putImageData(image, 0, 0);
  }, [grid.data, theme]);
  const scale = Math.max(1, Math.min(14, Math.floor(260 / grid.columns), Math.floor(200 / grid.rows)));
  return (
    <canvas
      ref={canvas} class="heat" width={grid.columns} height={grid.rows} role="img" aria-label={label}
      style={{ width: `${scale * grid.columns}px`, aspectRatio: `${grid.columns} / ${grid.rows}` }}
    />
  );
}

/** One line for a node of the graph: the number, or the norm of an array. */
export const brief = (numbers: Numbers): string => only(numbers) ?? `‖·‖ ${short(numbers.norm)}`;
