"""Tables read from files, their features against scikit-learn's own pipeline, and targets."""

import datetime
import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from retrograde.cli.preprocess import MISSING, MOST_CATEGORIES, Preprocessor, feature_columns, sklearn_pipeline, stack
from retrograde.cli.target import Target, infer_target, split_rows
from retrograde.errors import DataError, ModelFileError
from retrograde.io.tables import read_table

MIXED = """age,city, member,when,score
31, Paris,true,2024-01-02,1.5
,Rome,false,2024-01-03,2
40,NA,,2024-01-05,
22.5,Paris,true,2024-01-02,-1e3
"""


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_of_a_csv_have_kinds_and_missing_values(tmp_path):
    table = read_table(write(tmp_path, MIXED))
    assert {n: c.kind for n, c in table.columns.items()} == {
        "age": "number", "city": "text", "member": "boolean", "when": "date", "score": "number",
    }  # fmt: skip
    np.testing.assert_array_equal(table.columns["age"].numbers(), [31, np.nan, 40, 22.5])
    assert list(table.columns["city"].texts()) == ["Paris", "Rome", None, "Paris"]
    assert list(table.columns["member"].texts()) == ["true", "false", None, "true"]
    first = (datetime.date(2024, 1, 2) - datetime.date(1970, 1, 1)).days
    np.testing.assert_array_equal(table.columns["when"].numbers(), [first, first + 1, first + 3, first])


@pytest.mark.parametrize("separator, name", [(";", "t.csv"), ("\t", "t.tsv"), ("|", "t.txt"), ("\t", "t.csv")])
def test_separators_are_found(tmp_path, separator, name):
    table = read_table(write(tmp_path, "\ufeff" + MIXED.replace(",", separator), name))
    assert list(table.columns) == ["age", "city", "member", "when", "score"]
    assert table.rows == 4


def test_compressed_csv_and_parquet_read_alike(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt") as stream:
        stream.write(MIXED)
    table = read_table(tmp_path / "t.csv.gz")
    columns = {"age": [31, None, 40, 22.5], "city": pa.array(["Paris", "Rome", None, "Paris"]).dictionary_encode()}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    other = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table.columns["age"].numbers(), other.columns["age"].numbers())
    assert list(table.columns["city"].texts()) == list(other.columns["city"].texts())


def test_a_column_may_change_its_type_late_in_a_long_file(tmp_path):
    rows = ["1,2"] * 400_000 + ["1.5,x"]
    table = read_table(write(tmp_path, "a,b\n" + "\n".join(rows)))
    assert table.columns["a"].numbers()[-1] == 1.5
    assert table.columns["b"].kind == "text"


def test_columns_can_be_kept_as_text(tmp_path):
    table = read_table(write(tmp_path, '"zip", plan\n01,1\n02,2\n'), text=["zip", "plan"])
    assert list(table.columns["zip"].texts()) == ["01", "02"]
    assert list(table.columns["plan"].texts()) == ["1", "2"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"a,a\n1,2\n", "2 columns named 'a'"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read as a CSV table"),
        ("t.csv", b"a,b\n1,\xff\xfe\n", "no UTF-8 text"),
        ("t.parquet", b"PAR1 not really", "cannot be read as a Parquet table"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / name)


def test_a_missing_file_gets_a_suggestion(tmp_path):
    write(tmp_path, MIXED, "people.csv")
    with pytest.raises(DataError, match=r"no file .*poeple.csv; did you mean .*people.csv\?"):
        read_table(tmp_path / "poeple.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)


def test_wrong_values_name_their_row(tmp_path):
    table = read_table(write(tmp_path, "a,b\n1,inf\nx,2\n"))
    with pytest.raises(DataError, match="'a' holds text where numbers belong: 'x' in row 2"):
        table.columns["a"].numbers()
    with pytest.raises(DataError, match="'b' holds inf in row 1"):
        table.columns["b"].numbers()
    with pytest.raises(DataError, match="did you mean 'a'"):
        table.column("A")


def random_columns(seed, rows=60, numbers=3, words=2):
    rng = np.random.default_rng(seed)
    columns = {}
    for i in range(numbers):
        x = rng.normal(i, 10.0**i, rows)
        x[rng.random(rows) < 0.2 * i] = np.nan
        columns[f"n{i}"] = x
    for i in range(words):
        pool = np.array(["a", "b", "é", None][: 3 + i], object)
        columns[f"w{i}"] = pool[rng.integers(len(pool), size=rows)]
    return columns


@pytest.mark.parametrize("numbers, words", [(3, 2), (3, 0), (0, 2), (1, 1)])
def test_transform_is_scikit_learns_pipeline(numbers, words):
    columns, fresh = (random_columns(seed, numbers=numbers, words=words) for seed in (0, 1))
    for name in fresh:
        if name.startswith("w"):
            fresh[name][:3] = ["never seen", None, "a"]
        else:
            fresh[name][:5] = np.nan
    made = Preprocessor.from_json(json.loads(json.dumps(Preprocessor.fit(columns).to_json())))
    pipeline = sklearn_pipeline(made.numbers, made.categories).fit(stack(columns, made.numbers, made.categories))
    for data in (columns, fresh):
        expected = pipeline.transform(stack(data, made.numbers, made.categories)).astype(np.float32)
        found = made.transform(data)
        assert found.dtype == np.float32
        assert found.shape == (60, made.width)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_unseen_categories_are_zeros_and_rare_ones_count_as_unseen():
    words = np.array(["often"] * 2 + [f"{i:03}" for i in range(2 * MOST_CATEGORIES)], object)
    made = Preprocessor.fit({"w": words})
    assert made.width == MOST_CATEGORIES
    x = made.transform({"w": np.array(["often", "new", None], object)})
    assert x.sum(axis=1).tolist() == [1, 0, 0]
    assert MISSING in Preprocessor.fit({"w": np.array(["a", None], object)}).categories["w"]


def test_read_demands_the_columns_of_the_training(tmp_path):
    made = Preprocessor.fit({"age": np.arange(4.0), "flag": np.array(["true", "false"] * 2, object)})
    with pytest.raises(DataError, match=r"lacks 1 column .*'age'; did you mean 'Age'"):
        made.read(read_table(write(tmp_path, "Age,flag\n1,true\n")))
    with pytest.raises(DataError, match="lacks 2 columns"):
        made.read(read_table(write(tmp_path, "x\n1\n")))
    columns = made.read(read_table(write(tmp_path, "age,flag\n1,TRUE\n2,x\n")))
    assert list(columns["flag"]) == ["true", "x"]


@pytest.mark.parametrize("damage", [{"mean": [1.0]}, {"categories": 3}, {"flagged": [7]}, {"fill": ["x"]}])
def test_damaged_records_are_refused(damage):
    record = Preprocessor.fit(random_columns(0)).to_json() | damage
    with pytest.raises(ModelFileError, match="damaged"):
        Preprocessor.from_json(record)


def test_feature_columns_leave_out_what_says_nothing(tmp_path):
    rows = "\n".join(f"{i},id-{i},7,,{'x' if i % 2 else ''}" for i in range(200))
    names = ["a", "id", "same", "none", "half"]
    kept, dropped = feature_columns(read_table(write(tmp_path, ",".join(names) + "\n" + rows)), names)
    assert set(kept) == {"a", "half"}
    assert dropped == {"id": "text that differs in 200 of 200 rows", "same": "one value only", "none": "no values"}


def test_a_word_among_numbers_is_an_error(tmp_path):
    table = read_table(write(tmp_path, "a,b\n" + "\n".join(f"{i},1" for i in range(50)) + "\noops,2\n"))
    with pytest.raises(DataError, match=r"'oops' in row 51.*--categorical a"):
        feature_columns(table, ["a", "b"])


@pytest.mark.parametrize(
    "values, task, expected",
    [
        (["yes", "no"] * 5, None, ("classification", ["no", "yes"])),
        (["true", "false"] * 5, None, ("classification", ["false", "true"])),
        (["0", "3"] * 5, None, ("classification", [0, 3])),
        ([str(i) for i in range(10)], None, ("regression", [])),
        (["0.5", "1.0"] * 5, None, ("regression", [])),
        (["0", "3"] * 5, "regression", ("regression", [])),
    ],
)
def test_tasks_are_inferred(tmp_path, values, task, expected):
    column = read_table(write(tmp_path, "y\n" + "\n".join(values))).columns["y"]
    target = infer_target(column, task)
    assert (target.task, target.classes) == expected
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target
    encoded = target.encode(target.values(column))
    assert encoded.shape == ((10,) if target.classes else (10, 1))


@pytest.mark.parametrize(
    "values, task, message",
    [
        (["1.5", "", "2.5"], None, "missing .* 1 of 3 rows, first in row 2"),
        (["nan", "nan"], None, "no values"),
        (["a", "a"], None, "one class only"),
        (["1.5", "1.5"], None, "1.5 in every row"),
        (["a", "b", "c", "d"], None, "4 classes in 4 rows"),
        (["a", "1"], "regression", "regression needs numbers, but .*'a' in row 1"),
    ],
)
def test_bad_targets_are_refused(tmp_path, values, task, message):
    column = read_table(write(tmp_path, "x,y\n" + "\n".join(f"1,{v}" for v in values))).columns["y"]
    with pytest.raises(DataError, match=message):
        infer_target(column, task)


def test_split_keeps_shares_and_always_leaves_rows_to_train_on():
    values = np.array(["a"] * 80 + ["b"] * 20 + ["c"], object)
    train, test = split_rows(values, 0.2, seed=0, stratify=True)
    assert sorted([*train, *test]) == list(range(101))
    assert [(values[test] == c).sum() for c in "abc"] == [16, 4, 0]
    assert np.array_equal(split_rows(values, 0.2, 0, True)[1], test)
    assert len(split_rows(np.arange(5.0), 0.01, 0, False)[1]) == 1
    assert len(split_rows(values, 0.0, 0, True)[1]) == 0


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_header_in_another_encoding_is_an_error_that_says_so(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_text("âge,left\n1,no\n2,yes\n", encoding=encoding)
    with pytest.raises(DataError, match=r"t\.csv is not in UTF-8.*save it as UTF-8"):
        read_table(path)


@pytest.mark.parametrize("word", ["1e200", "-1e101"])
def test_numbers_whose_squares_overflow_are_refused_by_column_and_row(tmp_path, word):
    table = read_table(write(tmp_path, f"a,b\n1,2\n{word},3\n"))
    with pytest.raises(DataError, match=r"column 'a' holds .* in row 2; numbers up to 1e\+100 are taken"):
        table.column("a").numbers()
    as_text = read_table(write(tmp_path, f"a,b\n1,2\n{word},3\n"), text=["a"])
    with pytest.raises(DataError, match=r"column 'a' holds .* in row 2"):
        as_text.column("a").numbers()


def test_a_feature_that_float32_cannot_hold_is_an_error_not_a_guess():
    preprocessor = Preprocessor.fit({"a": np.array([1.0, 2.0, np.nan]), "b": np.array(["x", "y", "x"], object)})
    with pytest.raises(DataError, match=r"column 'a' holds 1e\+60 in row 2, too far from the 1.5 it was trained around"):
        preprocessor.transform({"a": np.array([np.nan, 1e60]), "b": np.array(["x", "z"], object)})
