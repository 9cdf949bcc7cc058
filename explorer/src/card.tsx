/** What happens at the current step: its formula in symbols, with shapes or with numbers, and the parts of the product. */
import type { ComponentChildren } from "preact";
import { useShared } from "./context";
import { only } from "./format";
import { faced, facedLocal, type FaceName, type Step } from "./record";
import { Spoken } from "./spoken";
import { Tensor } from "./tensor";
import { Tex } from "./tex";

const FACES: FaceName[] = ["symbols", "shapes", "numbers"];

interface Props {
  face: FaceName;
  setFace: (face: FaceName) => void;
}

export function Card({ face, setFace }: Props) {
  const { text, walk, at } = useShared();
  const moment = walk.moments[at];
  if (!moment) return null;
  const { step, backward } = moment;
  return (
    <section class={`panel card ${backward ? "backward" : "forward"}`} aria-live="polite" aria-label={backward ? text.backward : text.forward}>
      <header>
        <h2><span class="pass">{backward ? text.backward : text.forward}</span> <Tex tex={backward ? step.derivative.tex : step.symbol.tex} /></h2>
        <fieldset class="faces">
          <legend class="hidden">{text.formulaAs}</legend>
          {FACES.map((name) => (
            <label key={name}>
              <input type="radio" name="face" checked={face === name} onChange={() => setFace(name)} /> <span>{text[name]}</span>
            </label>
          ))}
        </fieldset>
      </header>
      {backward ? <Back step={step} face={face} /> : <Forward step={step} face={face} />}
    </section>
  );
}

function equation(left: string, right: string | null, step: Step, part: "value" | "cotangent"): string {
  const number = step[part] && only(step[part])?.replaceAll("−", "-");
  return `${left} = ${right ?? "0"}${number && number !== right ? ` = ${number}` : ""}`;
}

function Forward({ step, face }: { step: Step; face: FaceName }) {
  const { model } = useShared();
  const place = (read: Step) => step.formula.tex.indexOf(read.symbol.tex);
  const arrays = step.reads.map((name) => model.step(name)).filter((read) => read.shape.length).sort((a, b) => place(a) - place(b));
  return (
    <>
      <Tex display tex={equation(step.symbol.tex, faced(step, face, "formula"), step, "value")} />
      {step.source && <p class="source"><code>{step.source.text.trim()}</code></p>}
      <div class="tiles">
        {arrays.map((read) => <Tile key={read.name} tex={read.symbol.tex} step={read} part="value" />)}
        <Tile tex={step.symbol.tex} step={step} part="value" result />
      </div>
    </>
  );
}

function Back({ step, face }: { step: Step; face: FaceName }) {
  const { model, text } = useShared();
  const readers = model.readersOf(step).filter((reader) => reader.cotangent !== null && step.name in reader.local);
  const partial = (reader: Step) => `\\frac{\\partial ${reader.symbol.tex}}{\\partial ${step.symbol.tex}}`;
  const last = (reader: Step) => reader.name === model.data.loss_name;
  const chain = readers.map((reader) => (last(reader) ? partial(reader) : `${partial(reader)} ${reader.derivative.tex}`)).join(" + ");
  const right = faced(step, face, "backward");
  const middle = face === "symbols" && readers.some((reader) => !last(reader)) ? `${chain} = ${right}` : right;
  const dropped = model.parametersOf.get(step.name) ?? [];
  return (
    <>
      <Tex display tex={equation(step.derivative.tex, middle, step, "cotangent")} />
      {readers.map((reader, i) => (
        <div class="product" key={reader.name}>
          <Signed sign={i ? "+" : ""}>
            <div class="tile local">
              <h3>{text.local}</h3>
              <Tex tex={`${partial(reader)} = ${facedLocal(reader, face, step.name)}`} />
            </div>
          </Signed>
          <Signed sign="·">
            {last(reader)
              ? <div class="tile incoming"><h3>{text.seed}</h3><Tex tex={`\\frac{\\partial ${reader.symbol.tex}}{\\partial ${reader.symbol.tex}} = 1`} /></div>
              : <Tile tex={reader.derivative.tex} step={reader} part="cotangent" heading={text.reused} kind="incoming" />}
          </Signed>
          {i === readers.length - 1 && (
            <Signed sign="=">
              <Tile tex={step.derivative.tex} step={step} part="cotangent" heading={i ? text.sum : text.product} result />
            </Signed>
          )}
        </div>
      ))}
      {dropped.length > 0 && (
        <div class="drops">
          <h3>{text.drops}</h3>
          {dropped.map((parameter) => (
            <div class="drop" key={parameter.name} data-drop={parameter.name}>
              <Tex display tex={equation(parameter.derivative.tex, faced(parameter, face, "backward"), parameter, "cotangent")} />
              {parameter.shape.length > 0 && parameter.cotangent && <Tensor shape={parameter.shape} numbers={parameter.cotangent} label={parameter.derivative.text} columns={parameter.columns} />}
            </div>
          ))}
        </div>
      )}
    </>
  );
}

/** A tile with the sign in front of it, which stay on one line. */
function Signed({ sign, children }: { sign: string; children: ComponentChildren }) {
  return <div class="signed">{sign && <span class="sign" aria-hidden="true">{sign}</span>}{children}</div>;
}

interface TileProps {
  tex: string;
  step: Step;
  part: "value" | "cotangent";
  heading?: string;
  kind?: string;
  result?: boolean;
}

function Tile({ tex, step, part, heading, kind = "", result = false }: TileProps) {
  const { select } = useShared();
  const numbers = step[part];
  const label = (part === "value" ? step.symbol : step.derivative).text;
  return (
    <div class={`tile ${kind} ${result ? "result" : ""}`}>
      {heading && <h3>{heading}</h3>}
      <button type="button" class="plain" onClick={() => select(step.name)}><Spoken as={label}><Tex tex={tex} /></Spoken></button>
      {numbers && <Tensor shape={step.shape} numbers={numbers} label={label} columns={step.columns} />}
    </div>
  );
}
