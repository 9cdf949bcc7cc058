"""docs/numpy-coverage.md says what is so."""

from pathlib import Path

import coverage_page
import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "numpy-coverage.md"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of an integral of SciPy's that divides by 0
def test_the_page_is_what_is_found_by_calling():
    text = PAGE.read_text()
    if coverage_page.VERSIONS not in text:
        pytest.skip(f"the page is of other versions than {coverage_page.VERSIONS}")
    assert coverage_page.main() == text, "PYTHONPATH=src python tests/numpy/coverage_page.py > docs/numpy-coverage.md"


def test_a_function_without_a_gradient_is_told_from_one_with():
    floor, exp, nonzero = (coverage_page.Probe(f"np.{f.__name__}", f) for f in (np.floor, np.exp, np.nonzero))
    assert (floor.gradient, floor.compiled) == (False, True)
    assert (exp.gradient, exp.compiled) == (True, True)
    assert (nonzero.gradient, nonzero.compiled, nonzero.works) == (False, False, True)
    eig = coverage_page.Probe("np.linalg.eig", np.linalg.eig)
    assert eig.driven and not eig.works and "eigh" in str(eig.error)
