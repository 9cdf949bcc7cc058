"""Model files: round trip, and every way a file can be wrong."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import ModelError, ModelFileError

NET = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1), nn.Linear(4, 2, bias=False))


def test_round_trip_with_extra(tmp_path):
    net = NET.init(5, np.float64)
    net.save(tmp_path / "m.safetensors", extra={"classes": ["a", "b"]})
    again, extra = rg.load(tmp_path / "m.safetensors")
    x = np.random.default_rng(0).normal(size=(6, 3))
    assert np.array_equal(again(x), net(x)) and extra == {"classes": ["a", "b"]}
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelFileError, match="no model file"):
        rg.load(path)
    NET.init(0).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a model", whole[:-4], b"\xff" * 200):
        path.write_bytes(content)
        with pytest.raises(ModelFileError):
            rg.load(path)
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2)}, path)
    with pytest.raises(ModelFileError, match="not written by retrograde"):
        rg.load(path)
    path.write_bytes(whole.replace(b"Linear", b"Linoar"))
    with pytest.raises(ModelFileError, match="Linoar"):
        rg.load(path)
    with pytest.raises(ModelError, match="no parameters"):
        NET.save(path)


def test_a_place_that_takes_no_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/m\.safetensors'$"):
        NET.init(0).save(tmp_path / "nowhere" / "m.safetensors")
