/** A chart's numbers as a table of two columns, closed at first. */
import type { ComponentChildren } from "preact";
import { useText } from "./context";

interface Props {
  label: string;
  heading: string;
  rows: [ComponentChildren, string][];
}

export function AsTable({ label, heading, rows }: Props) {
  const text = useText();
  return (
    <details>
      <summary>{text.asTable}</summary>
      <div class="scroll" tabIndex={0} role="group" aria-label={label}>
        <table>
          <thead><tr><th scope="col">{text.name}</th><th scope="col">{heading}</th></tr></thead>
          <tbody>{rows.map(([name, value], i) => <tr key={i}><th scope="row">{name}</th><td>{value}</td></tr>)}</tbody>
        </table>
      </div>
    </details>
  );
}
