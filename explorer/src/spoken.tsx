/** What a screen reader says of a button in the place of the formulas and numbers that are seen on it. */
import type { ComponentChildren } from "preact";

export function Spoken({ as, children }: { as: string; children: ComponentChildren }) {
  return (
    <>
      <span class="hidden">{as}</span>
      <span class="seen" aria-hidden="true">{children}</span>
    </>
  );
}
