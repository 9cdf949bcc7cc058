/** Norms on a logarithmic scale: of the parameters' gradients, and of the cotangents step by step, where a chain is seen to vanish. */
import { useShared } from "./context";
import { short } from "./format";
import type { Step } from "./record";
import { Spoken } from "./spoken";
import { AsTable } from "./table";
import { Tex } from "./tex";

const NAMED = 24; // bars that have their name below them
const LONG = 5; // letters of a name that do not fit below a bar

export function Norms() {
  const { text, model } = useShared();
  const { parameters, steps, loss_name } = model.data;
  return (
    <>
      <Chart kind="norms" title={text.norms} steps={parameters} />
      <Chart kind="cotangents" title={text.cotangentNorms} steps={steps.filter((step) => step.name !== loss_name)} />
    </>
  );
}

function Chart({ kind, title, steps }: { kind: string; title: string; steps: Step[] }) {
  const { text, selected, select } = useShared();
  const bars = steps.flatMap((step) => (typeof step.cotangent?.norm === "number" ? [{ step, norm: step.cotangent.norm }] : []));
  const positive = bars.map((b) => b.norm).filter((n) => n > 0);
  if (!positive.length) return null;
  const low = Math.floor(Math.log10(Math.min(...positive)) - 0.2);
  const high = Math.ceil(Math.log10(Math.max(...positive)));
  const height = (n: number) => `${n > 0 ? (100 * (Math.log10(n) - low)) / Math.max(1, high - low) : 0}%`;
  const long = bars.length <= NAMED && bars.some(({ step }) => step.symbol.text.length > LONG);
  const shape = bars.length > 80 ? "dense" : long ? "tilted" : "";
  return (
    <section class={`panel norms ${kind}`} aria-label={title}>
      <header><h2>{title}</h2><p class="quiet">10<sup>{low}</sup> … 10<sup>{high}</sup></p></header>
      <div class={`bars ${shape}`} role="group" aria-label={text.normsChart(short(Math.min(...positive)), short(Math.max(...positive)))}>
        {bars.map(({ step, norm }) => (
          <button
            type="button" key={step.name} class="bar" aria-pressed={selected === step.name}
            title={`‖${step.derivative.text}‖ = ${short(norm)}`} onClick={() => select(step.name)}
          >
            <Spoken as={`${step.derivative.text}: ${short(norm)}`}>
              <span class="height" style={{ height: height(norm) }} />
              {bars.length <= NAMED && <em><Tex tex={step.symbol.tex} /></em>}
            </Spoken>
          </button>
        ))}
      </div>
      <AsTable label={title} heading={text.norm} rows={bars.map(({ step, norm }) => [step.derivative.text, short(norm)])} />
    </section>
  );
}
