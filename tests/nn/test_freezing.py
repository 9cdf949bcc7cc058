"""`freeze`, `unfreeze`, `partition`, `combine`: marks that survive, names, and what is left to train."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import ModelError, ModelFileError
from retrograde.tree import tree_leaves, tree_structure

NET = nn.Sequential(
    nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Lambda(lambda p, x: x * p["a"] + p["b"], {"b": 1.0, "a": np.ones(3)}),
    nn.Residual(nn.Linear(3, 3)),
)  # fmt: skip
MLP = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def trained(net):
    arrays = tree_leaves(net)
    return [name for name, array in nn.state_dict(net).items() if any(array is a for a in tree_leaves(nn.partition(net)[0]))
            and any(array is a for a in arrays)]  # fmt: skip


def test_buffers_are_not_trained():
    net = NET.init(0)
    assert not [name for name in trained(net) if "running" in name or "num_" in name]
    assert net.num_parameters == 4 * 3 + 3 + 6 + 4 + 12 and len(tree_leaves(nn.partition(net)[1])) == 3


@pytest.mark.parametrize("initialized", [True, False])
def test_names_of_layers_and_arrays(initialized):
    net = nn.freeze(NET.init(0) if initialized else NET, "0.weight", "2.params.a", "3")
    assert trained(net.init(1)) == ["0.bias", "1.weight", "1.bias", "2.params.b"]
    assert trained(nn.unfreeze(net, "3.0").init(1)) == ["0.bias", "1.weight", "1.bias", "2.params.b", "3.0.weight", "3.0.bias"]
    assert tree_structure(nn.unfreeze(net)) == tree_structure(NET.init(0) if initialized else NET)
    assert nn.freeze(net).num_parameters == 0 if initialized else True


def test_partition_and_combine():
    net = nn.freeze(NET.init(0), "0")
    first, second = nn.partition(net)
    assert len(tree_leaves(first)) + len(tree_leaves(second)) == len(tree_leaves(net))
    again = nn.combine(first, second)
    assert tree_structure(again) == tree_structure(net)
    assert all(a is b for a, b in zip(tree_leaves(again), tree_leaves(net), strict=True))
    grads = rg.grad(lambda p: np.sum(nn.combine(p, second)(np.ones((2, 4), np.float32)) ** 2))(first)
    assert tree_structure(grads) == tree_structure(first)


def test_a_file_keeps_the_marks(tmp_path):
    net = nn.freeze(MLP.init(0), "0", "2.bias")
    rg.save(tmp_path / "a", net)
    again, _ = rg.load(tmp_path / "a")
    assert trained(again) == ["2.weight"] and tree_structure(again) == tree_structure(net)


def test_a_file_with_marks_of_no_layer_is_an_error(tmp_path):
    rg.save(tmp_path / "a", nn.freeze(MLP.init(0), "0"))
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content.replace(b"0.weight\\\"", b"7.weight\\\""))
    with pytest.raises(ModelFileError, match=r"7\.weight"):
        rg.load(tmp_path / "a")


def test_unknown_names():
    with pytest.raises(ModelError, match=r"no layer or array '4'; it has 0\.weight, 0\.bias, 2\.weight, 2\.bias"):
        nn.freeze(MLP, "4")
    with pytest.raises(ModelError, match=r"no layer or array '0\.w'"):
        nn.unfreeze(MLP, "0.w")
    with pytest.raises(ModelError, match=r"take an nn\.Module"):
        nn.freeze({"a": np.ones(3)})
