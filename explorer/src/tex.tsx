/** A formula, set by KaTeX (HTML for the eye, MathML for screen readers). */
import katex from "katex";
import "katex/dist/katex.css";

const set = new Map<string, string>();

function html(tex: string, display: boolean): string {
  const key = (display ? "d" : "i") + tex;
  let found = set.get(key);
  if (found === undefined) {
    found = katex.renderToString(tex, { displayMode: display, throwOnError: false, strict: false, output: "htmlAndMathml" });
    set.set(key, found);
  }
  return found;
}

export function Tex({ tex, display = false }: { tex: string; display?: boolean }) {
  const made = { __html: html(tex, display) };
  return display ? (
    <div class="tex" tabIndex={0} role="group" aria-label="formula" dangerouslySetInnerHTML={made} />
  ) : (
    <span class="tex" dangerouslySetInnerHTML={made} />
  );
}
