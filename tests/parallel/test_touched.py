"""Which memory was touched since the last barrier."""

from hypothesis import given
from hypothesis import strategies as st

from retrograde.parallel.share import Region, Touched


@given(st.lists(st.tuples(st.sampled_from(["arena", "input", "output"]), st.integers(0, 40), st.integers(1, 12))), st.randoms())
def test_touched_memory_meets_what_has_a_byte_in_common_with_it(found, random):
    regions, touched = [Region(*r) for r in found], Touched()
    for region in regions:
        touched.add(region)
    for kind in ("arena", "input", "output"):
        for begin in range(44):
            wanted = Region(kind, begin, random.randint(1, 9))
            if kind == "arena":
                meets = any(r.kind == kind and r.index < begin + wanted.nbytes and begin < r.index + r.nbytes for r in regions)
            else:
                meets = any((r.kind, r.index) == (kind, begin) for r in regions)
            assert touched.meets(wanted) == meets
