"""What a diagnosis finds, said in English or in Korean, in the terms of courses on deep learning.

Korean particles change with the sound before them, which a name or a number does not show: its sentences do without those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One remark: the key of its sentence, and what goes into it; a remark in it, or a list of them, is said as well."""

    key: str
    facts: Mapping[str, Any]


def finding(key: str, **facts: Any) -> Finding:
    """A remark by the key of its sentence."""
    return Finding(key, facts)


ENGLISH = {
    "and": " and ",
    "input": "input",
    "parameter": "parameter",
    "given": "the {kind} {name} holds {bad} of {size} values that are NaN or infinite",
    "first": "{what} is first made in {where}{at}{row}, by {op} of {operands}{line}",
    "nan": "NaN",
    "infinity": "an infinity",
    "in step": "step {name}",
    "in pullback": "the pullback of {name}",
    "at": " at {place}",
    "row": ", row {row} of the data",
    "line": " ({file}:{line}: {text})",
    "element": "{x:.6g}",
    "range": "an array from {low:.6g} to {high:.6g}",
    "empty": "an empty array",
    "": "",
    "unreached": "no path leads from the loss to the parameter {name}: its derivative is 0 and it will not learn",
    "zero": "the derivative by the parameter {name} is exactly 0 in all its {size:,} elements",
    "vanishing": "the chain is vanishing: the root mean square of dl/df falls from {start:.3g} at {first} to {end:.3g} at "
    "{last}, a factor of {per:.3g} a layer; it starts at {begins} ({there:.3g})",
    "exploding": "the chain is exploding: the root mean square of dl/df grows from {start:.3g} at {first} to {end:.3g} at "
    "{last}, a factor of {per:.3g} a layer; it starts at {begins} ({there:.3g})",
    "dead": "{name}: {dead:,} of {units:,} units are 0 for all {examples:,} examples; no derivative passes through them",
    "all dead": "{name}: all {units:,} units are 0; no derivative passes through",
    "saturated": "{name}: {share:.0%} of its {size:,} values are within {margin:g} of {low:g} or {high:g}, where {op} is flat; "
    "little of the derivative passes",
    "scale": "the input {name} has a root mean square of {size:.3g}; networks learn from inputs around 1: standardize it",
    "scales": "the features of {name} have root mean squares from {low:.3g} to {high:.3g}; "
    "the largest rule the first layer: standardize them",
}

KOREAN = {
    "and": ", ",
    "input": "입력",
    "parameter": "매개변수",
    "given": "{kind} {name}: 값 {size}개 중 {bad}개가 NaN이거나 무한대입니다",
    "first": "{what} 처음 생긴 곳: {where}{at}{row}, 연산 {op}, 피연산자 {operands}{line}",
    "nan": "NaN이",
    "infinity": "무한대가",
    "in step": "{name} 단계",
    "in pullback": "{name} 단계의 역전파",
    "at": "의 원소 {place}",
    "row": ", 데이터의 행 {row}",
    "line": " ({file}:{line}: {text})",
    "element": "{x:.6g}",
    "range": "{low:.6g}부터 {high:.6g}까지의 배열",
    "empty": "빈 배열",
    "": "",
    "unreached": "매개변수 {name}: 손실과 이어지는 경로가 없습니다. 미분이 0이므로 학습되지 않습니다",
    "zero": "매개변수 {name}: 미분이 원소 {size:,}개 모두에서 정확히 0입니다",
    "vanishing": "기울기 소실: dl/df의 제곱평균제곱근(RMS)이 {first}에서 {start:.3g}, {last}에서 {end:.3g}입니다(층마다 "
    "{per:.3g}배). {begins}({there:.3g})에서 시작됩니다",
    "exploding": "기울기 폭발: dl/df의 제곱평균제곱근(RMS)이 {first}에서 {start:.3g}, {last}에서 {end:.3g}입니다(층마다 "
    "{per:.3g}배). {begins}({there:.3g})에서 시작됩니다",
    "dead": "{name}: 유닛 {units:,}개 중 {dead:,}개가 데이터 {examples:,}개 모두에서 0입니다. "
    "죽은 유닛으로는 미분이 전달되지 않습니다",
    "all dead": "{name}: 유닛 {units:,}개가 모두 0입니다. 미분이 전달되지 않습니다",
    "saturated": "{name}: 값 {size:,}개 중 {share:.0%}가 {low:g} 또는 {high:g}에서 {margin:g} 이내로 포화되어 있습니다. "
    "{op} 함수가 평평한 곳이라 미분이 거의 전달되지 않습니다",
    "scale": "입력 {name}: 제곱평균제곱근(RMS)이 {size:.3g}입니다. 신경망은 1 안팎의 입력에서 잘 학습되므로 표준화하세요",
    "scales": "입력 {name}: 특성(feature)별 제곱평균제곱근(RMS)이 {low:.3g}부터 {high:.3g}까지 벌어져 있습니다. "
    "가장 큰 특성이 첫 층을 좌우하므로 표준화하세요",
}

LANGUAGES = {"en": ENGLISH, "ko": KOREAN}


def say(remark: Finding, language: str = "en") -> str:
    """The sentence of a remark; raises `ValueError` for a language that there is none in."""
    templates = templates_of(language)

    def shown(fact: Any) -> Any:
        if isinstance(fact, list):
            return templates["and"].join(map(shown, fact))
        return say(fact, language) if isinstance(fact, Finding) else fact

    return templates[remark.key].format(**{name: shown(fact) for name, fact in remark.facts.items()})


def templates_of(language: str) -> dict[str, str]:
    """The sentences of a language; raises `ValueError` for an unknown one."""
    if language not in LANGUAGES:
        raise ValueError(f"language is {' or '.join(map(repr, LANGUAGES))}; it is {language!r}")
    return LANGUAGES[language]


__all__ = ["LANGUAGES", "Finding", "finding", "say", "templates_of"]
