/** The scrubber: buttons, a slider over both passes, and playing. */
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { useShared } from "./context";

const BEAT = 1100; // milliseconds a step

const ICONS = {
  first: "M4 4h2v12H4z M16 4v12L7 10z",
  previous: "M14 4v12L5 10z",
  play: "M5 3v14l12-7z",
  pause: "M5 4h4v12H5z M11 4h4v12h-4z",
  next: "M6 4v12l9-6z",
  turn: "M4 4h8a4 4 0 0 1 0 8H9v3l-5-4 5-4v3h3a2 2 0 0 0 0-4H4z",
  last: "M14 4h2v12h-2z M4 4v12l9-6z",
};

function Key({ label, icon, act, kind = "" }: { label: string; icon: string; act: () => void; kind?: string }) {
  return (
    <button type="button" class={kind} aria-label={label} title={label} onClick={act}>
      <svg viewBox="0 0 20 20" aria-hidden="true"><path d={icon} /></svg>
    </button>
  );
}

export function Transport() {
  const { text, walk, at, go } = useShared();
  const [playing, setPlaying] = useState(false);
  const last = walk.moments.length - 1;
  const moment = walk.moments[at];
  useEffect(() => {
    if (!playing) return;
    if (at >= last) return setPlaying(false);
    const timer = setTimeout(() => go(at + 1), BEAT);
    return () => clearTimeout(timer);
  }, [playing, at]);
  useLayoutEffect(() => {
    const toggle = (event: KeyboardEvent) => {
      if (event.key !== " " || event.target !== document.body) return;
      event.preventDefault();
      setPlaying((now) => !now);
    };
    addEventListener("keydown", toggle);
    return () => removeEventListener("keydown", toggle);
  }, []);
  const turn = `${(100 * (walk.turn - 0.5)) / Math.max(1, last)}%`;
  return (
    <div class="transport" role="group" aria-label={text.position}>
      <div class="buttons">
        <Key label={text.first} icon={ICONS.first} act={() => go(0)} />
        <Key label={text.previous} icon={ICONS.previous} act={() => go((i) => i - 1)} />
        <Key label={playing ? text.pause : text.play} icon={playing ? ICONS.pause : ICONS.play} act={() => setPlaying(!playing)} kind="play" />
        <Key label={text.next} icon={ICONS.next} act={() => go((i) => i + 1)} />
        <Key label={text.turn} icon={ICONS.turn} act={() => go(walk.turn - 1)} />
        <Key label={text.last} icon={ICONS.last} act={() => go(last)} />
      </div>
      <input
        type="range" min={0} max={last} value={at} aria-label={text.position} style={{ "--turn": turn }}
        aria-valuetext={moment && `${moment.backward ? text.backward : text.forward}: ${moment.backward ? moment.step.derivative.text : moment.step.symbol.text}`}
        onInput={(event) => go(Number(event.currentTarget.value))}
      />
      <output>{text.step(at + 1, last + 1)}</output>
    </div>
  );
}
