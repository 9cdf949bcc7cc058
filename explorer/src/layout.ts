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
  graph.setGraph({ rankdir: "LR", nodesep: 22, ranksep: 32, marginx: 12, marginy: 12 });
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
  for (const edge of pairs.values()) edge.points = graph.edge(edge.from, edge.to).points ?? [];
  const label = graph.graph();
  return {
    nodes: nodes.map((node) => ({ node, ...place(graph.node(node.id)) })),
    edges: [...pairs.values()],
    width: label.width ?? 0,
    height: label.height ?? 0,
    home,
  };
}

const place = (n: { x?: number; y?: number; width?: number; height?: number }) => ({
  x: n.x! - n.width! / 2, y: n.y! - n.height! / 2, width: n.width!, height: n.height!,
});

export const membersOf = (node: Node): Step[] => (node.kind === "layer" ? node.steps : [node.step]);

function single(model: Model, layer: number | null) {
  return (step: Step): Node => ({ kind: "step", id: step.name, step, parameters: model.parametersOf.get(step.name) ?? [], layer });
}

function whole(model: Model, layer: number): Node {
  const steps = model.data.layers[layer]!.map((name) => model.step(name));
  return { kind: "layer", id: `layer ${layer}`, layer, steps, parameters: steps.flatMap((s) => model.parametersOf.get(s.name) ?? []) };
}

function sizeOfNode(node: Node): { width: number; height: number } {
  if (node.kind === "step" && node.step.kind === "input") return { ...INPUT };
  const chips = node.kind === "step" ? node.parameters.length : 0;
  return { width: Math.max(STEP.width, chips * 56), height: STEP.height + (chips ? STEP.chip : 0) };
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
