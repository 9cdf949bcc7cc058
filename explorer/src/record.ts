/** The data that Python writes into the page (explore/saving.py), and how to find one's way in it. */
import type { Language } from "./text";

export interface Formula {
  tex: string;
  text: string;
}

export type Numeric = number | "nan" | "inf" | "-inf";

export interface Numbers {
  norm: Numeric;
  min: number | null;
  max: number | null;
  mean: number | null;
  zeros: number;
  not_finite: number;
  data?: Numeric[];
  /** The imaginary parts of complex numbers, whose absolute values the statistics are of. */
  imaginary?: Numeric[];
  picture?: { shape: [number, number]; data: Numeric[] };
  histogram?: { counts: number[]; edges: number[] };
}

export interface Jacobian {
  /** Rows: elements of what is read; columns: elements of the step. */
  shape: [number, number];
  /** How many examples the batch has of which each has a Jacobian of its own; 0 where there is one for all. */
  batch: number;
  /** That of the first examples, or the one. */
  examples: Numbers[];
}

export type FaceName = "symbols" | "shapes" | "numbers";

export interface Face {
  formula: string | null;
  backward: string | null;
  local: Record<string, string>;
}

export interface Step {
  name: string;
  kind: "step" | "parameter" | "input";
  op: string;
  symbol: Formula;
  formula: Formula;
  derivative: Formula;
  backward: Formula | null;
  local: Record<string, Formula>;
  shape: number[];
  dtype: string;
  nbytes: number;
  value: Numbers;
  cotangent: Numbers | null;
  reads: string[];
  readers: string[];
  source: { file: string; line: number; text: string } | null;
  faces: Partial<Record<FaceName, Face>>;
  jacobians: Record<string, Jacobian>;
  /** Names along the last axis, such as those of a table's columns. */
  columns: string[] | null;
}

export interface Moment {
  name: string;
  step: string;
  backward: boolean;
  nbytes: number;
  values: [string, number][];
}

export interface RecordData {
  title: string;
  loss: Numeric;
  loss_name: string;
  inputs: Step[];
  parameters: Step[];
  steps: Step[];
  memory: {
    kept: number;
    peak: number;
    at: string;
    held: { name: string; nbytes: number; made: string; until: string; readers: string[] }[];
    moments: Moment[];
  };
  reuse: { shared: number; naive: number; saved: number; uses: Record<string, string[]>; by_parameter: Record<string, number> };
  layers: string[][];
  diagnosis: Record<Language, string[]>;
  /** The language to begin in; null for the reader's. */
  language: Language | null;
  naive: Record<string, string>;
}

export class Model {
  readonly byName: Map<string, Step>;
  /** The parameters that a step is the first to read: their derivatives drop out at its cotangent. */
  readonly parametersOf = new Map<string, Step[]>();

  constructor(readonly data: RecordData) {
    this.byName = new Map([...data.inputs, ...data.parameters, ...data.steps].map((step) => [step.name, step]));
    for (const parameter of data.parameters) {
      const first = parameter.readers[0];
      if (first !== undefined) this.parametersOf.set(first, [...(this.parametersOf.get(first) ?? []), parameter]);
    }
  }

  step(name: string): Step {
    const found = this.byName.get(name);
    if (!found) throw new Error(`no step is called ${name}`);
    return found;
  }

  /** What `step` is read by on the way from it to the loss, in the order of the forward pass. */
  readersOf(step: Step): Step[] {
    return step.readers.flatMap((name) => this.byName.get(name) ?? []);
  }

  /** The names from a parameter to the loss where there is one path only. */
  pathOf(name: string): string[] | null {
    const path = [name];
    for (let at = this.step(name); at.name !== this.data.loss_name; at = this.step(path.at(-1)!)) {
      if (at.readers.length !== 1) return null;
      path.push(at.readers[0]!);
    }
    return path;
  }
}

/** A face's formula, or the one in symbols where the record was too large to write the others. */
export function faced(step: Step, face: FaceName, part: "formula" | "backward"): string | null {
  return step.faces[face]?.[part] ?? step[part]?.tex ?? null;
}

export function facedLocal(step: Step, face: FaceName, name: string): string {
  return step.faces[face]?.local[name] ?? step.local[name]?.tex ?? "";
}

export const sizeOf = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);

export const shapeText = (shape: number[]): string => shape.join(" × ");
