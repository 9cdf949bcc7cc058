"""An order for equations that were moved: what each reads comes before it."""

from __future__ import annotations

from retrograde.ir import Equation


def in_order(items: list[tuple[int, Equation]]) -> list[Equation]:
    """Equations by position, views as late as their first reader wants them but after what they look at."""
    ready: list[Equation] = []
    pending = sorted(items, key=lambda item: item[0])
    producer = {out: eq for _, eq in pending for out in eq.outputs}
    done: set[Equation] = set()

    def place(root: Equation) -> None:
        stack = [root]
        while stack:
            eq = stack[-1]
            if eq in done:
                stack.pop()
                continue
            missing = [producer[a] for a in eq.inputs if a in producer and producer[a] not in done]
            if missing:
                stack.extend(missing)
                continue
            done.add(eq)
            ready.append(eq)
            stack.pop()

    for _, eq in pending:
        place(eq)
    return ready
