"""Formulas of graphs: what its equations say of a variable, put together from the primitives' own formulas.

A derivative's formula comes from no table: the pullback is recorded as a graph, and that graph is written down. With the
factor 1 in the place of the incoming cotangent what remains is the local derivative.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from retrograde.ir import Atom, Equation, Graph, Literal, Var

CHOICE, SUM, PRODUCT, POWER, ATOM = range(5)
LONGEST = 240  # characters of LaTeX beyond which a formula is no help
_GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi",
    "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma",
    "Phi", "Psi", "Omega",
)  # fmt: skip
_LETTERS = dict(zip(_GREEK, "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"))
GREEK = {letter: word for word, letter in _LETTERS.items()}


_SIGNS = {
    "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "neq": "≠", "ne": "≠", "infty": "∞", "ldots": "…", "leftarrow": "←",
    "wedge": "∧", "vee": "∨", "neg": "¬", "ast": "∗",
}  # fmt: skip


@dataclass(frozen=True)
class Formula:
    """A formula twice, for people: LaTeX and plain text.

    `level` says how tightly it binds; `one` is the factor 1, `turned` the transpose.
    """

    tex: str
    text: str
    level: int = ATOM
    one: bool = False
    turned: Formula | None = field(default=None, compare=False, repr=False)

    def wrapped(self, level: int) -> Formula:
        """In parentheses where it binds less tightly than `level`."""
        return self if self.level >= level else Formula(f"({self.tex})", f"({self.text})")

    def __str__(self) -> str:
        return self.text


ONE = Formula("1", "1", ATOM, one=True)


def symbol(name: str) -> Formula:
    """A name as a symbol: Greek where it is a Greek letter's, trailing digits as an index, but of weight_ih_l0 no part."""
    parts = re.fullmatch(r"([^_]*?)_?(\d+)", name, re.DOTALL)
    base, index = parts.groups() if parts else (name, "")
    tex = base if len(base) == 1 else "\\" + base if base in _GREEK else f"\\operatorname{{{_upright(base)}}}"
    for word, letter in _LETTERS.items():
        if base == letter:
            tex = "\\" + word
    plain = _LETTERS.get(base, base) + (index or "")
    return Formula(f"{tex}_{{{index}}}" if len(index) > 1 else f"{tex}_{index}" if index else tex, plain)


def _upright(name: str) -> str:
    return name.replace("_", "\\_")


def derivative_of(loss: Formula, by: Formula) -> Formula:
    """dl/dx."""
    return Formula(f"\\frac{{\\partial {loss.tex}}}{{\\partial {by.tex}}}", f"d{loss.text}/d{by.text}")


def plain_template(template: str) -> str:
    """A primitive's LaTeX template as one for plain text."""
    operand = r"\{\{(\{\d\}|[^{}]*)\}\}"
    rules = [
        (r"\\frac" + operand + operand, r"\1 / \2"), (r"e\^" + operand, r"exp(\1)"), (r"\\sqrt" + operand, r"sqrt(\1)"),
        (r"\\(?:operatorname|mathrm)" + operand, r"\1"), (r"\^" + operand, r"^\1"), (r"\\cdot", "·"), (r"\\sigma", "sigmoid"),
        (r"\^T", "ᵀ"), (r"\^2", "²"), (r"\\sum", "Σ"), (r"\\,", ""),
        *((rf"\\{word}\b", sign) for word, sign in _SIGNS.items()), (r"\\(\w+)", r"\1"),
    ]  # fmt: skip
    for pattern, to in rules:
        template = re.sub(pattern, to, template)
    return template


def _fill(template: str, operands: list[Formula], side: str) -> tuple[str, int]:
    """The template with its operands, in parentheses where they need them; and how tightly the whole binds."""
    parts: list[tuple[str, int | None]] = [("", None)]
    for text, place, _, _ in string.Formatter().parse(template):  # which ends a part at each brace that is written twice
        before = parts.pop()[0] if parts[-1][1] is None else ""
        parts.append((before + text, int(place) if place else None))
    level = _level("".join(text + ("x" if key is not None else "") for text, key in parts))
    found = ""
    for i, (text, key) in enumerate(parts):
        found += text
        if key is None:
            continue
        after = parts[i + 1][0] if i + 1 < len(parts) else ""
        guarded = bool(text) and text[-1] in "({[|" and after[:1] in ("}", ")", "|", "]", ",", "")
        guarded = guarded or (text.endswith(", ") and level == ATOM)
        strict = (key > 0 and (" - " in text or " / " in text)) or level == POWER
        operand = operands[key] if guarded else operands[key].wrapped(min(level + strict, ATOM))
        if found and not guarded and level > CHOICE and operand.text.startswith("-"):
            operand = operand.wrapped(ATOM)
        found += getattr(operand, side)
    far = re.match(r"\\(sum|prod|log|max|min|exists|forall)\S* |(Σ|prod|log|max|min)\S* ", template)
    return found, SUM if far else level  # a sum of all that follows it is put in parentheses as a factor


def _level(shape: str) -> int:
    """How tightly a template binds, by the signs in it that stand in no bracket."""
    while (bare := re.sub(r"\([^()]*\)|\{[^{}]*\}", "", shape)) != shape:
        shape = bare
    if re.search(r"\S (<|>|=|\?|≤|≥|≠|\\leq?|\\geq?|\\neq?) \S|\\,\?", shape):
        return CHOICE
    if re.search(r"\S [-+] \S", shape):
        return SUM
    if "\\cdot" in shape or "·" in shape or shape.startswith("-") or re.search(r"\S [/x]|\\(sum|prod|log)|^Σ|^log", shape):
        return PRODUCT
    return POWER if re.search(r"\^|²", shape) else ATOM


def literal(value: object) -> Formula:
    """A number as a person writes it."""
    array = np.asarray(value)
    if array.dtype.kind == "c" and array.imag == 0:
        array = array.real
    if array.dtype.kind == "c":
        shown = f"{array.item():.6g}".removeprefix("0+").replace("j", "i")
        shown = "i" if shown == "1i" else shown
        return Formula(shown, shown, ATOM if array.real == 0 <= array.imag else SUM)
    shown = str(value) if array.dtype.kind == "b" else f"{array.item():.6g}"
    return Formula(shown, shown, PRODUCT if shown.startswith("-") else ATOM)


def write(graph: Graph, known: Mapping[Var, Formula]) -> list[Formula]:
    """The formulas of the graph's outputs, in the symbols that are known."""
    found: dict[Var, Formula] = dict(known)

    def of(atom: Atom) -> Formula:
        return literal(atom.value) if isinstance(atom, Literal) else found[atom]

    for var, value in graph.constants.items():
        if value.size and value.dtype.kind in "fiu" and (value == value.flat[0]).all():
            found.setdefault(var, literal(value.flat[0]))
    for var in (*graph.inputs, *graph.constants):
        found.setdefault(var, Formula("\\cdots", "…") if var.type.shape else Formula("c", "c"))
    for eq in graph.equations:
        formula = _equation(eq, [of(atom) for atom in eq.inputs])
        for i, out in enumerate(eq.outputs):
            part = Formula(f"{formula.wrapped(ATOM).tex}_{{{i}}}", f"{formula.wrapped(ATOM).text}[{i}]")
            found.setdefault(out, part if len(eq.outputs) > 1 else formula)
    return [of(atom) for atom in graph.outputs]


def _equation(eq: Equation, operands: list[Formula]) -> Formula:
    name = eq.primitive.name
    if name == "add" and _unsigned(operands[1]) is not None:
        return sum_of(operands)
    if name in ("multiply", "matmul"):
        factors = [f for f in operands if not f.one]
        if len(factors) < 2:
            return factors[0] if factors else ONE
        if operands[0].text == "-1":
            right = operands[1].wrapped(PRODUCT)
            return Formula("-" + right.tex, "-" + right.text, PRODUCT)
    if name == "matmul":  # Wᵀ (a · b) is not (Wᵀ a) · b
        operands = [f.wrapped(POWER) if f.turned is None else f for f in operands]
    if name == "divide" and (operands[1].one or operands[1].text == "1"):
        return operands[0]
    if name in ("sum", "broadcast_to", "transpose") and operands[0].one:
        return ONE
    if name == "transpose":
        if eq.params["axes"] != (*range(len(eq.params["axes"]) - 2), len(eq.params["axes"]) - 1, len(eq.params["axes"]) - 2):
            return operands[0]
        return transposed(operands[0])
    if name == "embed":  # a part among zeros: what a slice's pullback makes
        return Formula(f"\\operatorname{{embed}}({operands[0].tex})", f"embed({operands[0].text})")
    if name == "slice":
        return _sliced(eq, operands[0])
    if name == "select" and isinstance(eq.inputs[2], Literal) and eq.inputs[2].value == 0:
        condition, chosen = operands[:2]
        tex, text = f"\\mathbb{{1}}[{condition.tex}]", f"1[{condition.text}]"
        if chosen.one:
            return Formula(tex, text)
        chosen = chosen.wrapped(PRODUCT)
        return Formula(f"{tex} \\odot {chosen.tex}", f"{text} ⊙ {chosen.text}", PRODUCT)
    places = ", ".join(f"{{{i}}}" for i in range(len(operands)))
    template = eq.primitive.formula or f"\\operatorname{{{{{_upright(name)}}}}}({places})"
    if re.fullmatch(r"\{0\}", template):
        return operands[0]
    tex, level = _fill(template, operands, "tex")
    text, as_text = _fill(plain_template(template).replace("\\_", "_"), operands, "text")
    found = Formula(tex, text, min(level, as_text))
    if name != "matmul":
        return found
    left, right = (transposed(f) for f in operands)
    right, left = right.wrapped(PRODUCT), left.wrapped(PRODUCT)
    turned = Formula(f"{right.tex} {left.tex}", f"{right.text} {left.text}", PRODUCT)
    return replace(found, turned=replace(turned, turned=found))


def transposed(formula: Formula) -> Formula:
    """The transpose of a matrix."""
    if formula.turned is not None:
        return formula.turned
    base = formula.wrapped(ATOM)
    text = f"({base.text})" if "/" in base.text and base.text[0] != "(" else base.text
    fraction = re.match(r"(\\underset\{[^{}]*\}\{)?\\frac", base.tex)
    tex = f"\\left({base.tex}\\right)" if fraction else base.tex
    return Formula(tex + "^T", text + "ᵀ", POWER, turned=formula)


def _sliced(eq: Equation, operand: Formula) -> Formula:
    """x[i], or x[a:b], for a slice that leaves something out."""
    shape = eq.inputs[0].type.shape
    cuts = list(zip(shape, eq.params["start"], eq.params["limit"], eq.params["step"]))
    if all((a, b, s) == (0, n, 1) for n, a, b, s in cuts) or operand.one:
        return operand
    keys = [":" if (a, b, s) == (0, n, 1) else str(a) if b == a + 1 else f"{a}:{b}" + (f":{s}" if s != 1 else "")
            for n, a, b, s in cuts]  # fmt: skip
    while keys and keys[-1] == ":":
        keys.pop()
    inside = ",".join(keys)
    base = operand.wrapped(ATOM)
    return Formula(f"{base.tex}_{{{inside}}}" if "_" not in base.tex else f"{base.tex}[{inside}]", f"{base.text}[{inside}]")


def sum_of(terms: list[Formula]) -> Formula:
    """Terms added up."""
    if len(terms) == 1:
        return terms[0]
    tex, text = terms[0].tex, terms[0].text
    for term in terms[1:]:
        inner = _unsigned(term)
        sign, term = ("+", term) if inner is None else ("-", inner)
        tex, text = f"{tex} {sign} {term.tex}", f"{text} {sign} {term.text}"
    return Formula(tex, text, SUM)


def _unsigned(formula: Formula) -> Formula | None:
    """What the minus in front of a product stands before; None where there is none."""
    if not formula.text.startswith("-") or not formula.tex.startswith("-") or formula.level < PRODUCT:
        return None
    return Formula(formula.tex[1:], formula.text[1:], PRODUCT)


__all__ = [
    "ATOM", "GREEK", "LONGEST", "ONE", "PRODUCT", "SUM", "Formula", "derivative_of", "literal", "sum_of", "symbol", "write",
]  # fmt: skip
