"""np.i0, the one special function of NumPy's own."""

import numpy as np
import pytest
from function_suite import Table, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

X = np.array([-2.3, -0.4, 0.6, 9.0])

TABLE = Table()
for x in (X, X.astype(np.float32), np.arange(4), np.zeros((0, 2)), X[::2]):
    TABLE.of(np.i0, x)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_it_is_numpys(f, args):
    check_eager(f, args, tolerance=1e-13)
    check_compiled(f, args, tolerance=1e-13)


def test_its_derivatives():
    f = TABLE.cases[0].values[0]
    check_gradient(f, (X / 4,))
    check_second_order(f, (X / 4,))
    check_lanes(f, (X,))
