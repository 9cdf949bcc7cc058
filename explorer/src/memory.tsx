/** What is held at each step: growing on the way forward, freed on the way back. */
import { useShared } from "./context";
import { bytes } from "./format";
import type { Moment } from "./record";
import { AsTable } from "./table";
import { Tex } from "./tex";

const ROWS = 16;
const DENSE = 120; // bars beyond which they stand without gaps

export function Memory() {
  const { text, model, walk, at, go } = useShared();
  const { memory } = model.data;
  const now = walk.memoryAt(at);
  const name = (m: Moment) => (m.backward ? text.pullback(m.step) : m.step);
  const peak = memory.moments.findIndex((m) => m.name === memory.at && m.nbytes === memory.peak);
  const peakName = peak < 0 ? memory.at : name(memory.moments[peak]!);
  const at100 = (n: number) => `${memory.peak ? (100 * n) / memory.peak : 0}%`;
  const current = memory.moments[now];
  const label = text.memoryChart(bytes(memory.peak), peakName, bytes(memory.kept));
  return (
    <section class="panel memory" aria-label={text.memory}>
      <header>
        <h2>{text.memory}</h2>
        <p class="quiet">{current && `${text.memoryNow(bytes(current.nbytes))} · `}{text.memoryPeak(bytes(memory.peak), peakName)}</p>
      </header>
      <div class={`bars lane ${memory.moments.length > DENSE ? "dense" : ""}`} role="img" aria-label={label} onClick={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const found = walk.fromMemory(Math.floor(((event.clientX - box.left) / box.width) * memory.moments.length));
        if (found >= 0) go(found);
      }}>
        {memory.moments.map((m, i) => (
          <span
            key={i} title={`${name(m)}: ${bytes(m.nbytes)}`}
            class={`${m.backward ? "backward" : "forward"} ${i === now ? "now" : ""} ${i === peak ? "peak" : ""}`} style={{ height: at100(m.nbytes) }}
          />
        ))}
      </div>
      <details>
        <summary>{text.lifetimes}</summary>
        <p>{text.memoryKept(bytes(memory.kept))}</p>
        <Lifetimes now={now} />
      </details>
      <AsTable label={text.memory} heading={text.bytes} rows={memory.moments.map((m) => [name(m), m.nbytes.toLocaleString("en-US")])} />
    </section>
  );
}

/** A row for each kept value, from the step that makes it to the last that reads it. */
function Lifetimes({ now }: { now: number }) {
  const { text, model } = useShared();
  const { held, moments } = model.data.memory;
  const rows = [...held].sort((a, b) => b.nbytes - a.nbytes).slice(0, ROWS);
  const place = (name: string) => moments.findIndex((m) => m.name === name);
  const order = rows.map((value) => ({ value, from: place(value.made), to: place(value.until) })).sort((a, b) => a.from - b.from);
  const share = (i: number) => `${(100 * i) / moments.length}%`;
  return (
    <>
      <ul class="lifetimes">
        {order.map(({ value, from, to }) => {
          const symbol = model.byName.get(value.name)?.symbol.tex;
          return (
            <li key={value.name + from}>
              <span class="who">{symbol ? <Tex tex={symbol} /> : value.name} <small>{bytes(value.nbytes)}</small></span>
              <span class="track"><span class={now >= from && now <= to ? "held" : ""} style={{ left: share(from), width: share(Math.max(1, to - from + 1)) }} /></span>
            </li>
          );
        })}
      </ul>
      {held.length > ROWS && <p class="quiet">{text.moreValues(held.length - ROWS)}</p>}
    </>
  );
}
