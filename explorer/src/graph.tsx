/** The computation as a graph: values fill in on the way forward, cotangents on the way back. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useShared } from "./context";
import { chipWidth, layOut, membersOf, pathThrough, type Edge, type Node, type Placed } from "./layout";
import { shapeText, type Step } from "./record";
import { Spoken } from "./spoken";
import { brief } from "./tensor";
import { Tex } from "./tex";
import type { Walk } from "./walk";

const px = (x: number) => `${x}px`;

interface Props {
  open: ReadonlySet<number>;
  setOpen: (open: ReadonlySet<number>) => void;
}

export function Graph({ open, setOpen }: Props) {
  const { model, walk, at, text } = useShared();
  const layout = useMemo(() => layOut(model, open), [model, open]);
  const view = useRef<HTMLDivElement>(null);
  const moment = walk.moments[at];
  const current = moment && layout.home.get(moment.step.name);
  useEffect(() => {
    const placed = layout.nodes.find(({ node }) => node.id === current);
    const box = view.current;
    if (!placed || !box) return;
    const middle = placed.x + placed.width / 2 - box.clientWidth / 2;
    if (placed.x < box.scrollLeft + 40 || placed.x + placed.width > box.scrollLeft + box.clientWidth - 40) box.scrollTo({ left: middle });
    const center = placed.y + placed.height / 2 - box.clientHeight / 2;
    if (placed.y < box.scrollTop || placed.y + placed.height > box.scrollTop + box.clientHeight) box.scrollTo({ top: center });
  }, [current, layout]);
  const closable = model.data.layers.flatMap((names, i) => (names.length > 1 ? [i] : []));
  return (
    <section class="panel graph" aria-label={text.graph}>
      <header>
        <h2>{text.graph}</h2>
        {closable.length > 0 && (
          <span class="tools">
            <button type="button" onClick={() => setOpen(new Set(closable))}>{text.expand}</button>
            <button type="button" onClick={() => setOpen(new Set())}>{text.collapse}</button>
          </span>
        )}
      </header>
      <div class="view" ref={view} tabIndex={0} role="group" aria-label={text.graph}>
        <div class="plane" style={{ width: px(layout.width), height: px(layout.height) }}>
          <svg width={layout.width} height={layout.height} aria-hidden="true">
            <defs>
              <Arrow id="arrow" /> <Arrow id="arrow-forward" /> <Arrow id="arrow-backward" />
            </defs>
            {layout.edges.map((edge) => <Line key={`${edge.from} ${edge.to}`} edge={edge} />)}
          </svg>
          {layout.nodes.map((placed) => (
            <Box key={placed.node.id} placed={placed} current={placed.node.id === current} open={open} setOpen={setOpen} />
          ))}
        </div>
      </div>
    </section>
  );
}

function Arrow({ id }: { id: string }) {
  return (
    <marker id={id} class={id} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
      <path d="M 0 0 L 8 4 L 0 8 z" />
    </marker>
  );
}

function Line({ edge }: { edge: Edge }) {
  const { model, walk, at } = useShared();
  const moment = walk.moments[at];
  const lit = moment && edge.pairs.some(([from, to]) =>
    moment.backward ? from === moment.step.name && model.step(to).cotangent !== null : to === moment.step.name);
  const way = lit ? (moment.backward ? "backward" : "forward") : edge.pairs.some(([, to]) => walk.forward(model.step(to)) <= at) ? "done" : "";
  const arrow = `url(#arrow${lit ? `-${way}` : ""})`;
  return (
    <path
      class={`edge ${way}`} d={pathThrough(edge.points)}
      marker-start={lit && way === "backward" ? arrow : undefined} marker-end={way === "backward" ? undefined : arrow}
    />
  );
}

function Box({ placed, current, open, setOpen }: { placed: Placed; current: boolean } & Props) {
  const { node, x, y, width, height } = placed;
  const { walk, at } = useShared();
  const backward = walk.moments[at]?.backward ? "backward" : "forward";
  const style = { left: px(x), top: px(y), width: px(width), height: px(height) };
  return (
    <div class={`box ${current ? `current ${backward}` : ""}`} style={style}>
      {node.kind === "layer" ? <Closed node={node} open={open} setOpen={setOpen} /> : <Single node={node} open={open} setOpen={setOpen} />}
    </div>
  );
}

function Closed({ node, open, setOpen }: { node: Extract<Node, { kind: "layer" }> } & Props) {
  const { text, walk, at } = useShared();
  const last = node.steps.at(-1)!;
  const known = walk.forward(last) <= at;
  const first = node.steps[0]!;
  return (
    <button type="button" class="node closed" onClick={() => setOpen(new Set([...open, node.layer]))}>
      <Spoken as={`${text.openLayer(node.layer)}: ${node.steps.map((s) => s.symbol.text).join(", ")}`}>
        <span class="name">
          {node.steps.length > 2 ? <><Tex tex={first.symbol.tex} /> … <Tex tex={last.symbol.tex} /></> : node.steps.map((s) => <Tex key={s.name} tex={s.symbol.tex} />)}
        </span>
        <span class="op">{node.steps.map((s) => s.op).join(" · ")}</span>
        <span class="value">{known ? shapeText(last.shape) : " "}</span>
        <Cotangent step={first} />
      </Spoken>
    </button>
  );
}

function Single({ node, open, setOpen }: { node: Extract<Node, { kind: "step" }> } & Props) {
  const { text, walk, at, selected, select } = useShared();
  const { step, parameters, layer } = node;
  const known = walk.forward(step) <= at;
  const back = isBack(step, walk, at) ? `, ${step.derivative.text} ${brief(step.cotangent!)}` : "";
  const said = `${step.symbol.text}, ${step.op}${known ? `, ${brief(step.value)}` : ""}${back}`;
  return (
    <>
      <button
        type="button" class={`node ${step.kind} ${known ? "known" : ""}`} aria-pressed={selected === step.name}
        data-name={step.name} onClick={() => select(step.name)}
      >
        <Spoken as={said}>
          <span class="name"><Tex tex={step.symbol.tex} /></span>
          {step.kind === "step" && <span class="op">{step.op}</span>}
          <span class="value">{!known ? " " : step.shape.length ? shapeText(step.shape) : brief(step.value)}</span>
          {step.kind === "step" && <Cotangent step={step} />}
        </Spoken>
      </button>
      {parameters.length > 0 && <div class="chips">{parameters.map((p) => <Chip key={p.name} parameter={p} />)}</div>}
      {layer !== null && step === membersOf(node)[0] && <CloseLayer step={step} layer={layer} open={open} setOpen={setOpen} label={text.closeLayer(layer)} />}
    </>
  );
}

function CloseLayer({ step, layer, open, setOpen, label }: { step: Step; layer: number; label: string } & Props) {
  const { model } = useShared();
  const names = model.data.layers[layer]!;
  if (names[0] !== step.name || names.length < 2) return null;
  const without = () => setOpen(new Set([...open].filter((i) => i !== layer)));
  return <button type="button" class="close-layer" aria-label={label} title={label} onClick={without}>−</button>;
}

/** Whether the walk has come back to a step, so that its cotangent is known. */
const isBack = (step: Step, walk: Walk, at: number): boolean => step.cotangent !== null && walk.backward(step) <= at && at >= walk.turn;

function Cotangent({ step }: { step: Step }) {
  const { walk, at } = useShared();
  const known = isBack(step, walk, at);
  return <span class={`cotangent ${known ? "known" : ""}`}>{known ? brief(step.cotangent!) : " "}</span>;
}

function Chip({ parameter }: { parameter: Step }) {
  const { walk, at, selected, select } = useShared();
  const known = isBack(parameter, walk, at);
  const fresh = known && walk.backward(parameter) === at;
  return (
    <button
      type="button" class={`chip ${known ? "known" : ""} ${fresh ? "fresh" : ""}`} aria-pressed={selected === parameter.name} data-name={parameter.name}
      onClick={() => select(parameter.name)} style={{ width: px(chipWidth(parameter)) }}
    >
      <Spoken as={`${parameter.symbol.text}${known ? `, ${parameter.derivative.text} ${brief(parameter.cotangent!)}` : ""}`}>
        <Tex tex={parameter.symbol.tex} />
        <span class="cotangent">{known ? brief(parameter.cotangent!) : " "}</span>
      </Spoken>
    </button>
  );
}
