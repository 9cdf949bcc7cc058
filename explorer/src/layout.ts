/** Where the nodes of the graph stand: steps, or whole layers where they are closed, laid out from left to right by dagre. */
import dagre from "@dagrejs/dagre";
import type { Model, Step } from "./record";

export type Node =
  | { kind: "step"; id: string; step: Step; parameters: Step[]; layer: number | null }
  | { kind: "layer"; id: string; layer: number; steps: Step[]; parameters: Step[] };

export interface Placed {
  node: Node;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Edge {
  from: string;
  to: string;
  /** The names of the steps at its ends: in a closed layer, of those inside. */
  pairs: [string, string][];
  points: { x: number; y: number }[];
}

export interface Layout {
  nodes: Placed[];
  edges: Edge[];
  width: number;
  height: number;
  /** The node that shows a step. */
  home: Map<string, string>;
}

const STEP = { width: 104, height: 78, chip: 46 };
const CHIP = { narrow: 54, complex: 92, gap: 4 };
const MARGIN = 12;
const INPUT = { width: 70, height: 60 };

export function layOut(model: Model, open: ReadonlySet<number>): Layout {
  const { inputs, steps, layers } = model.data;
  const layerOf = new Map(layers.flatMap((names, i) => names.map((name) => [name, i] as const)));
  const nodes: Node[] = inputs.filter((step) => step.readers.length).map(single(model, null));
  const home = new Map<string, string>();
  for (const step of steps) {
    const layer = layerOf.get(step.name) ?? null;
    if (layer !== null && !open.has(layer) && layers[layer]!.length > 1) {
      if (layers[layer]![0] === step.name) nodes.push(whole(model, layer));
    } else nodes.push(single(model, layer)(step));
  }
  for (const node of nodes) for (const step of [...membersOf(node), ...node.parameters]) home.set(step.name, node.id);

  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 22, ranksep: 32, marginx: MARGIN, marginy: MARGIN });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.id, sizeOfNode(node));
  const pairs = new Map<string, Edge>();
  for (const node of nodes)
    for (const step of membersOf(node))
      for (const name of step.reads) {
        const from = home.get(name);
        if (from === undefined || from === node.id || model.byName.get(name)?.kind === "parameter") continue;
        const key = `${from} ${node.id}`;
        const edge = pairs.get(key) ?? { from, to: node.id, pairs: [], points: [] };
        edge.pairs.push([name, step.name]);
        pairs.set(key, edge);
      }
  for (const edge of pairs.values()) graph.setEdge(edge.from, edge.to);
  dagre.layout(graph);
  const placed = nodes.map((node) => place(node, graph.node(node.id)));
  const top = Math.min(...placed.map((one) => one.y)) - MARGIN;
  for (const one of placed) one.y -= top;
  const at = new Map(placed.map((one) => [one.node.id, one]));
  for (const edge of pairs.values()) {
    const points = (graph.edge(edge.from, edge.to).points ?? []).map((p: { x: number; y: number }) => ({ x: p.x, y: p.y - top }));
    edge.points = [leave(at.get(edge.from)!, points[0]!, 1), ...points.slice(1, -1), leave(at.get(edge.to)!, points.at(-1)!, 0)];
  }
  return {
    nodes: placed,
    edges: [...pairs.values()],
    width: graph.graph().width ?? 0,
    height: Math.max(...placed.map((one) => one.y + one.height), ...[...pairs.values()].flatMap((edge) => edge.points.map((p) => p.y))) + MARGIN,
    home,
  };
}

/** A node's box; dagre has room for its parameters above it too, so that all nodes of a chain stand in one line. */
function place(node: Node, found: { x?: number; y?: number; width?: number; height?: number }): Placed {
  const spare = node.kind === "step" && node.parameters.length ? STEP.chip : 0;
  return { node, x: found.x! - found.width! / 2, y: found.y! - found.height! / 2 + spare, width: found.width!, height: found.height! - spare };
}

/** Where an edge meets a node: at its side, the right (1) or the left (0), not beyond its corners. */
function leave(placed: Placed, point: { x: number; y: number }, side: number): { x: number; y: number } {
  const height = placed.node.kind === "step" && placed.node.parameters.length ? placed.height - STEP.chip : placed.height;
  return { x: placed.x + side * placed.width, y: Math.min(Math.max(point.y, placed.y + 12), placed.y + height - 12) };
}

export const membersOf = (node: Node): Step[] => (node.kind === "layer" ? node.steps : [node.step]);

function single(model: Model, layer: number | null) {
  return (step: Step): Node => ({ kind: "step", id: step.name, step, parameters: model.parametersOf.get(step.name) ?? [], layer });
}

function whole(model: Model, layer: number): Node {
  const steps = model.data.layers[layer]!.map((name) => model.step(name));
  return { kind: "layer", id: `layer ${layer}`, layer, steps, parameters: steps.flatMap((s) => model.parametersOf.get(s.name) ?? []) };
}

/** How wide a name is set, about. */
const wide = (name: string, letter: number) => Math.ceil(letter * name.length);

export const chipWidth = (parameter: Step): number =>
  Math.max(CHIP.narrow, wide(parameter.symbol.text, 8.6) + 14, parameter.dtype.startsWith("complex") ? CHIP.complex : 0);

function sizeOfNode(node: Node): { width: number; height: number } {
  if (node.kind === "layer") return { width: STEP.width, height: STEP.height };
  const name = wide(node.step.symbol.text, 8.5) + 24;
  if (node.step.kind === "input") return { width: Math.max(INPUT.width, name), height: INPUT.height };
  const chips = node.parameters.reduce((sum, parameter) => sum + chipWidth(parameter) + CHIP.gap, -CHIP.gap);
  return { width: Math.max(STEP.width, chips, name), height: STEP.height + (chips > 0 ? 2 * STEP.chip : 0) };
}

/** A smooth line through an edge's points. */
export function pathThrough(points: { x: number; y: number }[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M ${first.x} ${first.y}`;
  rest.forEach((p, i) => {
    const next = rest[i + 1];
    path += next ? ` Q ${p.x} ${p.y} ${(p.x + next.x) / 2} ${(p.y + next.y) / 2}` : ` L ${p.x} ${p.y}`;
  });
  return path;
}
