/** The derivative by one parameter as a single long product, beside the shared one, with the count of multiplications. */
import { useState } from "preact/hooks";
import { useShared } from "./context";
import { count } from "./format";
import type { Model } from "./record";
import { Tex } from "./tex";

const LONGEST = 40; // factors of a chain that are all shown

export function Naive() {
  const { text, model } = useShared();
  const [shown, setShown] = useState(false);
  const [name, setName] = useState(deepest(model));
  const { reuse, parameters } = model.data;
  if (!parameters.length) return null;
  const most = Math.max(reuse.naive, 1);
  return (
    <section class="panel naive" aria-label={text.naive}>
      <header><h2>{text.naive}</h2></header>
      <p>{text.naiveTotal(count(reuse.shared), count(reuse.naive), count(reuse.saved))}</p>
      <dl class="compare">
        <dt>{text.written}</dt><dd><span class="backward" style={{ width: `${(100 * reuse.naive) / most}%` }} />{count(reuse.naive)}</dd>
        <dt>{text.shared}</dt><dd><span class="forward" style={{ width: `${(100 * reuse.shared) / most}%` }} />{count(reuse.shared)}</dd>
      </dl>
      <label class="switch"><input type="checkbox" role="switch" checked={shown} onChange={(e) => setShown(e.currentTarget.checked)} /> {text.naiveShow}</label>
      {shown && (
        <div class="both">
          <label>{text.naiveOf} <select value={name} onChange={(e) => setName(e.currentTarget.value)}>
            {parameters.map((p) => <option key={p.name} value={p.name}>{p.symbol.text}</option>)}
          </select></label>
          <h3>{text.written} <small>· {text.multiplications(count(reuse.by_parameter[name] ?? 0))}</small></h3>
          <Written name={name} />
          <h3>{text.shared}</h3>
          <Tex display tex={`${model.step(name).derivative.tex} = ${model.step(name).backward?.tex ?? "0"}`} />
        </div>
      )}
    </section>
  );
}

const deepest = (model: Model): string => {
  const { by_parameter } = model.data.reuse;
  return model.data.parameters.reduce((a, b) => ((by_parameter[b.name] ?? 0) > (by_parameter[a.name] ?? 0) ? b : a), model.data.parameters[0]!)?.name ?? "";
};

function Written({ name }: { name: string }) {
  const { text, model } = useShared();
  const path = model.pathOf(name);
  const left = model.step(name).derivative.tex;
  if (!path) return <p>{text.manyPaths}</p>;
  const factors = path.slice(1).map((reader, i) => `\\frac{\\partial ${model.step(reader).symbol.tex}}{\\partial ${model.step(path[i]!).symbol.tex}}`);
  const kept = factors.length > LONGEST ? [...factors.slice(0, LONGEST / 2), "\\cdots", ...factors.slice(-LONGEST / 2)] : factors;
  const full = model.data.naive[name];
  return (
    <>
      <Tex display tex={`${left} = ${kept.join(" ")}`} />
      {full && <Tex display tex={`${left} = ${full}`} />}
    </>
  );
}
