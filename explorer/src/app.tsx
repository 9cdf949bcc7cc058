/** The page: one model, one moment of the walk, one step that is looked into. */
import { useCallback, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { Card } from "./card";
import { Context, useShared, type Shared, type Theme } from "./context";
import { Detail } from "./detail";
import { decimal } from "./format";
import { Graph } from "./graph";
import { Memory } from "./memory";
import { Naive } from "./naive";
import { Norms } from "./norms";
import { Model, type FaceName, type RecordData } from "./record";
import { languages, type Language } from "./text";
import { Transport } from "./transport";
import { Walk } from "./walk";

const SMALL = 24; // steps up to which all layers are open at first

export function App({ data }: { data: RecordData }) {
  const model = useMemo(() => new Model(data), [data]);
  const walk = useMemo(() => new Walk(model), [model]);
  const [language, setLanguage] = useState<Language>(data.language ?? (navigator.language.startsWith("ko") ? "ko" : "en"));
  const [theme, setTheme] = useState<Theme>(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const [at, setAt] = useState(0);
  const [selected, select] = useState<string | null>(null);
  const [face, setFace] = useState<FaceName>("symbols");
  const [open, setOpen] = useState<ReadonlySet<number>>(() => new Set(data.steps.length <= SMALL ? data.layers.keys() : []));
  const go = useCallback<Shared["go"]>(
    (to) => setAt((now) => Math.max(0, Math.min(walk.moments.length - 1, typeof to === "number" ? to : to(now)))), [walk]);
  const text = languages[language];

  useLayoutEffect(() => {
    document.documentElement.lang = language;
    document.documentElement.dataset.theme = theme;
    document.title = `${data.title}: ${data.loss_name} = ${decimal(data.loss)}`;
  }, [language, theme]);
  useLayoutEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.altKey || event.ctrlKey || event.metaKey) return;
      const to = { ArrowRight: (i: number) => i + 1, ArrowLeft: (i: number) => i - 1, Home: 0, End: walk.moments.length - 1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        go(to);
      } else if (event.key === "Escape") select(null);
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [walk]);

  const shared: Shared = { text, language, theme, model, walk, selected, select, at, go };
  return (
    <Context.Provider value={shared}>
      <header class="top">
        <h1>{data.title} <small>{data.loss_name} = {decimal(data.loss)}</small></h1>
        <span class="tools">
          <label class="hidden" for="language">{text.language}</label>
          <select id="language" value={language} onChange={(e) => setLanguage(e.currentTarget.value as Language)}>
            <option value="en">English</option>
            <option value="ko" lang="ko">한국어</option>
          </select>
          <button type="button" onClick={() => setTheme(theme === "dark" ? "light" : "dark")}>{text.theme}</button>
        </span>
      </header>
      <main>
        <Graph open={open} setOpen={setOpen} />
        <Transport />
        <div class="column">
          <Card face={face} setFace={setFace} />
          <Memory />
        </div>
        <div class="column">
          <Detail />
          <Diagnosis />
        </div>
        <div class="pair"><Norms /></div>
        <Naive />
      </main>
      <footer><p class="quiet">{text.keys}</p></footer>
    </Context.Provider>
  );
}

function Diagnosis() {
  const { text, language, model } = useShared();
  const diagnosis = model.data.diagnosis[language];
  return (
    <section class="panel diagnosis-panel" aria-label={text.diagnosis}>
      <header><h2>{text.diagnosis}</h2></header>
      {diagnosis.length ? <ul class="diagnosis" tabIndex={0}>{diagnosis.map((s) => <li key={s}>{s}</li>)}</ul> : <p class="quiet">{text.nothing}</p>}
    </section>
  );
}
