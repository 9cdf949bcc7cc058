"""What `fit` takes as data in memory: arrays, lists, columns and tables of pandas, polars and Arrow, files with a target."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import DataError, ModelError
from retrograde.train.data import array
from retrograde.tree import tree_leaves

F32 = np.dtype(np.float32)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = (X @ [1.0, -2.0, 0.5]).astype(np.float32)
TABLE = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y, "label": (Y > 0).astype(int)}, index=range(7, 47))
SETTINGS = {"batch_size": 8, "epochs": 2, "optimizer": optim.SGD(0.05)}


def bits(run):
    return [leaf.tobytes() for leaf in tree_leaves((run.model, run.history))]


def x_of(values):
    return array(values, "data: X", F32)


def y_of(values):
    return array(values, "data: y", F32)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 3]), pd.Series([1, 2, 3], dtype="UInt64"), pd.Series([1.0, 2.0, 3.0], dtype="Float32", index=[4, 4, 4]),
        pd.Series([decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(3)]), np.array([1, 2, 3], np.uint64), [1, 2, 3],
        pa.array([1, 2, 3], pa.decimal128(5, 2)), pa.chunked_array([[1, 2], [3]]), np.array([1, 2, 3], object),
    ],
)  # fmt: skip
def test_numbers_of_all_types_are_numbers(column):
    found = x_of(column)
    assert found.dtype == F32 and found.tolist() == [1.0, 2.0, 3.0]


def test_truth_is_0_and_1_and_whole_numbers_are_labels():
    assert x_of(pd.DataFrame({"a": [True, False], "b": pd.array([False, True], "boolean")})).tolist() == [[1, 0], [0, 1]]
    assert y_of(pd.Series([2**62 + 1, 0], dtype="Int64")).tolist() == [2**62 + 1, 0]
    assert y_of(pa.array([3, 1], pa.uint8())).dtype == np.int64
    assert y_of(pd.Series([True, False])).dtype == y_of(pd.Series([1.0, 2.0])).dtype == F32
    assert y_of(pd.DataFrame({"a": [1, 2]})).shape == (2, 1)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["x", "y"], "'a' holds text"),
        (pd.Categorical(["x", "y"]), "'a' holds text or categories"),
        (pd.Categorical([1, 2]), "'a' holds text or categories"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "'a' holds dates"),
        ([datetime.timedelta(1)] * 2, "'a' .* of type duration"),
        ([1.0, None], "'a' has 1 missing, NaN or infinite values, the first in row 2"),
        (pd.array([1, None], "Int64"), "'a' has 1 missing"),
        ([1.0, np.inf], "'a' has 1 missing"),
        ([1.0, 1e300], "'a' has numbers up to 1e.300, too large for float32"),
        ([None, None], "'a' holds no values"),
        ([1, "x"], "Conversion failed for column a"),
        ([1 + 2j, 1], "column a with type complex"),
        (pd.arrays.SparseArray([0, 1]), "Sparse pandas data .column a."),
        ([[1], [2]], "'a' .* values of type list"),
    ],
)
def test_what_is_no_number_names_its_column(column, message):
    with pytest.raises(DataError, match=message):
        x_of(pd.DataFrame({"a": column}))


def test_tables_without_rows_or_with_a_name_twice():
    with pytest.raises(DataError, match="no rows"):
        x_of(pd.DataFrame({"a": []}))
    with pytest.raises(DataError, match="Duplicate column names"):
        x_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match="labels up to"):
        y_of(pd.Series([1, 2**64 - 1], dtype="uint64"))


def test_a_pair_of_tables_is_the_pair_of_arrays():
    alone = rg.fit(nn.Linear(3, 1), (X, Y[:, None]), **SETTINGS)
    features, target = TABLE[["a", "b", "c"]], TABLE[["y"]]
    arrow = pa.Table.from_pandas(features, preserve_index=False)
    for pair in ((features, target), (arrow, target), (X.tolist(), Y[:, None].tolist())):
        assert bits(rg.fit(nn.Linear(3, 1), pair, **SETTINGS)) == bits(alone)


def test_polars_tables():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y})
    alone = rg.fit(nn.Linear(3, 1), (X, Y[:, None]), **SETTINGS)
    assert bits(rg.fit(nn.Linear(3, 1), frame, target="y", **SETTINGS)) == bits(alone)
    assert bits(rg.fit(nn.Linear(3, 1), (frame.drop("y"), frame.select("y")), **SETTINGS)) == bits(alone)
    assert y_of(pl.Series("label", [1, 2])).tolist() == [1, 2]
    for column in (["x", "y"], pl.Series(["x", "y"], dtype=pl.Categorical)):
        with pytest.raises(DataError, match="'a' holds text"):
            x_of(pl.DataFrame({"a": column}))


def test_a_target_by_name_wherever_the_table_is(tmp_path):
    table = TABLE.drop(columns="label")
    parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False, float_format="%.9g")
    alone = rg.fit(nn.Linear(3, 1), (X, Y[:, None]), **SETTINGS)
    for data in (table, pa.Table.from_pandas(table), tmp_path / "t.parquet", str(tmp_path / "t.csv"), tmp_path / "t.parquet"):
        if isinstance(data, pa.Table):
            data = data.select(["a", "b", "c", "y"])
        assert bits(rg.fit(nn.Linear(3, 1), data, target="y", **SETTINGS)) == bits(alone), data
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(2):
        parquet.write_table(pa.Table.from_pandas(table[20 * i : 20 * i + 20], preserve_index=False), folder / f"{i}.parquet")
    assert bits(rg.fit(nn.Linear(3, 1), folder, target="y", **SETTINGS)) == bits(alone)


def test_labels_several_targets_weights_and_validation_by_name():
    weight = np.linspace(1, 2, 40)
    run = rg.fit(nn.Linear(3, 2), TABLE.assign(w=weight).drop(columns="y"), target="label", sample_weight="w",
                 loss="cross_entropy", validation=TABLE.assign(w=weight)[["label", "w", "c", "b", "a"]], **SETTINGS)  # fmt: skip
    alone = rg.fit(nn.Linear(3, 2), (X, (Y > 0).astype(int)), sample_weight=weight, loss="cross_entropy",
                   validation=(X, (Y > 0).astype(int)), **SETTINGS)  # fmt: skip
    assert bits(run) == bits(alone)
    two = rg.fit(nn.Linear(3, 2), TABLE.assign(z=1.0).drop(columns="label"), target=["y", "z"], **SETTINGS)
    assert bits(two) == bits(rg.fit(nn.Linear(3, 2), (X, np.c_[Y, np.ones(40)]), **SETTINGS))


@pytest.mark.parametrize(
    ("data", "settings", "error", "message"),
    [
        (TABLE, {}, DataError, 'target="name"'),
        (TABLE, {"target": "lable"}, DataError, "did you mean 'label'"),
        (TABLE, {"target": 3}, DataError, "target is the name of a column"),
        (TABLE, {"target": []}, DataError, "target is the name of a column"),
        (TABLE[["y"]], {"target": "y"}, DataError, "no column but the target"),
        ((X, Y), {"target": "y"}, DataError, "is a pair"),
        (TABLE, {"target": "y"}, ModelError, "does not take the 4 columns"),
        (TABLE, {"target": "y", "sample_weight": "w"}, DataError, "no column 'w'"),
        (TABLE.drop(columns="label"), {"target": "y", "validation": TABLE[["a", "y"]]}, DataError, "has no column 'b'"),
        ("nowhere.parquet", {"target": "y"}, DataError, "there is no file"),
    ],
)
def test_what_does_not_fit_is_told(data, settings, error, message):
    with pytest.raises(error, match=message):
        rg.fit(nn.Linear(3, 1), data, **settings)


def test_batches_that_are_tables_and_partitions_that_are_columns(tmp_path):
    table = TABLE.drop(columns="label")
    table.to_csv(tmp_path / "t.csv", index=False, float_format="%.9g")
    settings = SETTINGS | {"shuffle": False, "target": "y"}
    alone = rg.fit(nn.Linear(3, 1), table, chunk_rows=16, **settings)
    chunks = rg.fit(nn.Linear(3, 1), lambda: pd.read_csv(tmp_path / "t.csv", chunksize=7), **settings)
    assert bits(chunks) == bits(alone)
    turned = table[["c", "y", "b", "a"]]
    mixed = rg.fit(nn.Linear(3, 1), lambda: iter([table[:20], turned[20:]]), **settings)  # read by name, not by place
    assert bits(mixed) == bits(alone)
    reader = pa.Table.from_pandas(table, preserve_index=False).to_reader(max_chunksize=9)
    once = rg.fit(nn.Linear(3, 1), reader, **settings | {"epochs": 1})
    assert once.history["loss"][0] == alone.history["loss"][0]
    for part in (0, 1):
        (tmp_path / "hive" / f"c={part}").mkdir(parents=True)
        table[part::2][["a", "b", "y"]].to_parquet(tmp_path / "hive" / f"c={part}" / "0.parquet", index=False)
    ordered = pd.concat([table[part::2].assign(c=float(part)) for part in (0, 1)])[["a", "b", "c", "y"]]
    assert bits(rg.fit(nn.Linear(3, 1), tmp_path / "hive", **settings)) == bits(rg.fit(nn.Linear(3, 1), ordered, **settings))


TIME_FIRST = {
    "recurrent": nn.Sequential(nn.GRU(3, 4), nn.TakeOutput(), nn.Linear(4, 1)),
    "behind what keeps the axes": nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Dropout()), nn.LSTM(3, 4), nn.TakeOutput()),
    "encoder": nn.TransformerEncoder(nn.TransformerEncoderLayer(3, 1, 4), 1),
}


@pytest.mark.parametrize("net", TIME_FIRST.values(), ids=TIME_FIRST)
def test_points_are_no_steps_of_time(net):
    with pytest.raises(ModelError, match="batch_first=True"):
        rg.fit(net, (np.ones((6, 5, 3)), np.ones((6, 5, 1))), batch_size=2, epochs=1)


def test_a_whole_array_in_its_order_may_be_in_time():
    series, target = np.ones((6, 5, 3)), np.ones((6, 5, 1))
    run = rg.fit(TIME_FIRST["recurrent"], (series, target), batch_size=None, shuffle=False, epochs=1, compiled=False)
    assert run.model(series).shape == (6, 5, 1)
    turned = nn.Sequential(nn.Lambda(lambda x: np.swapaxes(x, 0, 1)), nn.GRU(3, 1), nn.TakeOutput(-1, batch_first=False))
    rg.fit(turned, (series, target[:, 0]), batch_size=2, epochs=1, compiled=False)
