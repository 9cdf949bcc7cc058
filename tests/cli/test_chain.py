"""The chain of the demo against backpropagation written by hand."""

import numpy as np
import pytest

from retrograde.cli.chain import backward_chain, chain_table


def by_hand(omega, beta, x, label):
    hs, fs = [x], []
    for k, (w, b) in enumerate(zip(omega, beta)):
        fs.append(b + w @ hs[-1])
        if k < len(omega) - 1:
            hs.append(fs[-1].clip(0.0))
    p = np.exp(fs[-1] - fs[-1].max())
    df = p / p.sum()
    out = {"l": -np.log(df[label])}
    df = df - np.eye(len(df))[label]
    for k in reversed(range(len(omega))):
        out |= {f"f{k}": fs[k], f"h{k}": hs[k], f"dl/df{k}": df, f"dl/dβ{k}": df, f"dl/dΩ{k}": np.outer(df, hs[k])}
        if k:
            out[f"dl/dh{k}"] = omega[k].T @ df
            df = out[f"dl/dh{k}"] * (fs[k - 1] > 0)
    return out


@pytest.mark.parametrize("widths", [(4, 3), (5, 6, 4, 3)])
def test_chain_agrees_with_backpropagation_by_hand(widths):
    rng = np.random.default_rng(3)
    omega = [rng.normal(size=(o, i)) for i, o in zip(widths, widths[1:])]
    beta = [rng.normal(size=o) for o in widths[1:]]
    x = rng.normal(size=widths[0])
    links = backward_chain(omega, beta, x, 2)
    expected = by_hand(omega, beta, x, 2)
    assert {link.name for link in links} == set(expected)
    for link in links:
        np.testing.assert_allclose(link.value, expected[link.name], rtol=1e-12, atol=1e-14, err_msg=link.name)
        assert link.norm == pytest.approx(np.linalg.norm(expected[link.name]))
    names = [link.name for link in links]
    assert names.index("dl/df0") > names.index(f"dl/df{len(omega) - 1}") or len(omega) == 1
    assert chain_table(links, "chain").row_count == len(links)


def test_chain_wants_a_bias_for_each_weight():
    with pytest.raises(ValueError, match="2 weight matrices and 1 bias"):
        backward_chain([np.eye(2), np.eye(2)], [np.zeros(2)], np.zeros(2), 0)
