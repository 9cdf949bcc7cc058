/** Everything about one step, parameter or input. */
import { useState } from "preact/hooks";
import { useShared } from "./context";
import { bytes } from "./format";
import { shapeText, type Step } from "./record";
import { Tensor } from "./tensor";
import { Tex } from "./tex";

export function Detail() {
  const { text, model, selected, select } = useShared();
  const step = selected === null ? undefined : model.byName.get(selected);
  return (
    <section class="panel detail" aria-label={text.details}>
      <header>
        <h2>{text.details}</h2>
        {step && <button type="button" onClick={() => select(null)}>{text.close}</button>}
      </header>
      {step ? <Facts key={step.name} step={step} /> : <p class="quiet">{text.choose}</p>}
    </section>
  );
}

function Facts({ step }: { step: Step }) {
  const { text, model } = useShared();
  const uses = model.data.reuse.uses[step.derivative.text];
  return (
    <>
      <h3 class="title"><Tex tex={step.symbol.tex} /> <small>{step.kind === "step" ? step.op : text[step.kind]} · {shapeText(step.shape) || text.number} · {step.dtype} · {bytes(step.nbytes)}</small></h3>
      {step.kind === "step" && <Tex display tex={`${step.symbol.tex} = ${step.formula.tex}`} />}
      <h4>{text.value}</h4>
      <Tensor shape={step.shape} numbers={step.value} label={step.symbol.text} columns={step.columns} />
      <Histogram step={step} />
      {step.cotangent && (
        <>
          <h4>{step.kind === "parameter" ? text.gradient : text.cotangent}</h4>
          {step.backward && <Tex display tex={`${step.derivative.tex} = ${step.backward.tex}`} />}
          <Tensor shape={step.shape} numbers={step.cotangent} label={step.derivative.text} columns={step.columns} />
          {step.cotangent.imaginary && <p class="quiet">{text.complex}</p>}
          {uses && <p>{text.uses} {uses.join(", ")}</p>}
        </>
      )}
      {step.kind === "step" && Object.keys(step.local).length > 0 && <JacobianView step={step} />}
      {step.source && (
        <>
          <h4>{text.source}</h4>
          <p class="source"><code>{step.source.text.trim()}</code><br /><small>{step.source.file}:{step.source.line}</small></p>
        </>
      )}
      <Lifetime step={step} />
    </>
  );
}

function Lifetime({ step }: { step: Step }) {
  const { text, model } = useShared();
  const held = model.data.memory.held.find((value) => value.name === step.name);
  const moment = (name: string) => name.replace(/^the pullback of (.*)$/, (_, of: string) => text.pullback(of));
  return (
    <>
      <h4>{text.held}</h4>
      {step.kind !== "step" ? <p>{text.given}</p> : held ? (
        <p>{text.heldFrom(moment(held.made), moment(held.until), bytes(held.nbytes))}; {text.heldBy(held.readers.map(moment).join(", "))}</p>
      ) : <p>{text.notHeld}</p>}
    </>
  );
}

function JacobianView({ step }: { step: Step }) {
  const { text, model } = useShared();
  const names = Object.keys(step.local);
  const [by, setBy] = useState(names.find((name) => name in step.jacobians) ?? names[0]!);
  const [example, setExample] = useState(0);
  const jacobian = step.jacobians[by];
  const read = model.step(by);
  const shown = jacobian && Math.min(example, jacobian.examples.length - 1);
  const isComplex = [step, read].every((one) => one.dtype.startsWith("complex"));
  return (
    <>
      <h4 class="choices">
        <label>{text.jacobianBy} <select value={by} onChange={(event) => setBy(event.currentTarget.value)}>
          {names.map((name) => <option key={name} value={name}>{model.step(name).symbol.text}</option>)}
        </select></label>
        {jacobian && jacobian.batch > 1 && (
          <label>{text.jacobianExample} <select value={shown} onChange={(event) => setExample(Number(event.currentTarget.value))}>
            {jacobian.examples.map((_, i) => <option key={i} value={i}>{i}</option>)}
          </select> {text.jacobianOf(jacobian.batch)}</label>
        )}
      </h4>
      <Tex display tex={`\\frac{\\partial ${step.symbol.tex}}{\\partial ${read.symbol.tex}} = ${step.local[by]!.tex}`} />
      {jacobian ? (
        <>
          <Tensor shape={jacobian.shape} numbers={jacobian.examples[shown!]!} label={`${text.jacobian}: ${step.symbol.text}, ${read.symbol.text}`} />
          {jacobian.shape[0] * jacobian.shape[1] > 1 && <p class="quiet">{text.jacobianRows(read.symbol.text, step.symbol.text)}</p>}
        </>
      ) : <p class="quiet">{isComplex ? text.jacobianComplex : text.jacobianLarge(step.name)}</p>}
    </>
  );
}

function Histogram({ step }: { step: Step }) {
  const histogram = step.value.histogram;
  if (!histogram) return null;
  const most = Math.max(...histogram.counts);
  const [low, high] = [histogram.edges[0]!, histogram.edges.at(-1)!];
  return (
    <div class="bars small" role="img" aria-label={`${step.symbol.text}: ${low} … ${high}`}>
      {histogram.counts.map((n, i) => <span key={i} style={{ height: `${(100 * n) / most}%` }} />)}
    </div>
  );
}
