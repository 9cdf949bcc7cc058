"""Layouts against NumPy's own strides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrograde.ir.layout import Layout


@st.composite
def views_and_shapes(draw):
    """A view of some array, transposed and sliced, and a shape of as many elements."""
    base = np.zeros(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    view = base.transpose(draw(st.permutations(range(base.ndim))))
    view = view[tuple(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in view.shape)]
    shape, rest = [], view.size
    while rest > 1:
        length = draw(st.sampled_from([n for n in range(1, rest + 1) if rest % n == 0]))
        shape.append(length)
        rest //= length
        if len(shape) > 4:
            shape.append(rest)
            break
    return view, tuple(draw(st.permutations(shape))) if view.size else (0, *shape)


@given(views_and_shapes())
def test_reshape_is_a_view_wherever_strides_can_say_it(case):
    view, shape = case
    found = Layout(view.shape, tuple(s // 8 for s in view.strides)).reshape(shape)
    wanted = view.reshape(shape)
    assert (found is None) == (view.size > 0 and not np.shares_memory(wanted, view))
    if found is not None:
        strides = [s // 8 for s in wanted.strides]
        assert found.shape == shape
        assert not view.size or all(a == b or n == 1 for a, b, n in zip(found.strides, strides, shape))
