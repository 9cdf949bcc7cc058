"""Tables from Arrow data and from CSV, TSV and Parquet files, column by column, with errors that say which row is wrong.

Numbers come out as float64 with NaN where a value is missing, text as an object array with None. Dates count as days since 1970.
"""

from __future__ import annotations

import codecs
import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrograde.errors import DataError

MISSING_WORDS = frozenset(
    ["", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "?", "#NA"]
)
SEPARATORS = (",", ";", "\t", "|")
LARGEST = 1e100  # whose square, summed over any table, float64 still holds


@dataclass(frozen=True)
class Column:
    """One column: its kind ("number", "boolean", "text", "date" or "empty") and its Arrow values."""

    name: str
    kind: str
    values: pa.Array

    def missing(self) -> np.ndarray:
        """Which rows hold no value (bool, one a row); NaN counts as missing."""
        if self.kind == "text":
            return np.array([v is None for v in self.texts()], bool)
        return np.isnan(self.numbers()) if self.kind in ("number", "date") else np.asarray(self.values.is_null())

    def texts(self) -> np.ndarray:
        """The values as stripped text, None where missing; booleans are "true" and "false" (object array)."""
        if self.kind == "empty":
            return np.full(len(self.values), None, object)
        if self.kind == "boolean":
            words = [None if v is None else ("true" if v else "false") for v in self.values.to_pylist()]
        elif self.kind == "text":
            words = [None if v is None or v.strip() in MISSING_WORDS else v.strip() for v in self.values.to_pylist()]
        else:
            words = [None if np.isnan(v) else (str(int(v)) if v == int(v) else repr(float(v))) for v in self.numbers()]
        return np.array([*words, None], object)[:-1]

    def numbers(self) -> np.ndarray:
        """The values as float64, NaN where missing.

        Raises `DataError` naming the first row that holds text that is no number, an infinity, or more than `LARGEST`.
        """
        out = self._parse() if self.kind == "text" else self.floats()
        beyond = np.abs(out) > LARGEST
        if beyond.any():
            row = int(np.argmax(beyond))
            hint = f"numbers up to {LARGEST:g} are taken: correct it, or give the column in another unit"
            hint = "leave it empty if it is unknown" if np.isinf(out[row]) else hint
            raise DataError(f"column {self.name!r} holds {out[row]:g} in row {row + 1}; {hint}")
        return out

    def floats(self) -> np.ndarray:
        """The values of a column that is not text as float64, as they are: NaN where missing, infinities too."""
        if self.kind == "empty":
            return np.full(len(self.values), np.nan)
        values = self.values
        if self.kind == "date":
            microseconds = pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), pa.int64())
            values = pc.divide(pc.cast(microseconds, pa.float64(), safe=False), 86400e6)
        return np.array(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)

    def integers(self) -> np.ndarray:
        """The whole numbers of a column without missing values as int64, exactly."""
        return np.asarray(pc.cast(self.values, pa.int64()).to_numpy(zero_copy_only=False))

    def _parse(self) -> np.ndarray:
        words = self.texts()
        out = np.array([np.nan if w is None else as_number(w) for w in words], np.float64)
        bad = np.array([w is not None for w in words], bool) & ~np.isfinite(out)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(f"column {self.name!r} holds text where numbers belong: {words[row]!r} in row {row + 1}")
        return out

    def is_whole(self) -> bool:
        """Whether the file stores integers here."""
        return self.kind == "number" and pa.types.is_integer(self.values.type)

    def take(self, rows: np.ndarray) -> Column:
        """The same column with these rows only."""
        return Column(self.name, self.kind, self.values.take(pa.array(rows)))


@dataclass(frozen=True)
class Table:
    """A table in memory: columns by name, all of one length."""

    path: str
    columns: dict[str, Column]
    rows: int

    def column(self, name: str) -> Column:
        """The column of this name; raises `DataError` with the nearest names where there is none."""
        if name not in self.columns:
            raise DataError(f"{self.path} has no column {name!r}{did_you_mean(name, self.columns)}")
        return self.columns[name]

    def take(self, rows: np.ndarray) -> Table:
        """The same table with these rows only."""
        return Table(self.path, {n: c.take(rows) for n, c in self.columns.items()}, len(rows))


def as_number(word: str) -> float:
    """The number that a word spells, NaN where it spells none; `1_000` and `nan` are no numbers in a table."""
    try:
        return float(word) if "_" not in word else float("nan")
    except ValueError:
        return float("nan")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'age'?`, or the names there are."""
    known = list(known)
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {lower[near[0]]!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"; it has {shown}" if known else ""


def read_table(path: str | Path, text: Sequence[str] = ()) -> Table:
    """Read a CSV, TSV or Parquet file (`.csv`, `.tsv`, `.txt`, `.parquet`, `.pq`, also `.gz`); columns in `text` stay text.

    The separator of a CSV file is found in its header. Raises `DataError` for a file that is missing, empty, not a table,
    has a name twice, or holds a column of a type that is neither number, boolean, text nor date.
    """
    path = Path(path)
    if not path.is_file():
        if path.is_dir():
            raise DataError(f"{path} is a folder; give a CSV, TSV or Parquet file in it")
        siblings = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        raise DataError(f"there is no file {path}" + (f"; did you mean {path.with_name(near[0])}?" if near else ""))
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; a table needs a header and rows")
    try:
        raw = _read_parquet(path) if is_parquet(path) else _read_csv(path, text)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError, EOFError, UnicodeDecodeError) as error:
        kind = "Parquet" if is_parquet(path) else "CSV"
        raise DataError(f"{path} cannot be read as a {kind} table: {' '.join(str(error).split())}") from None
    return table_of(raw, path, text)


def table_of(raw: pa.Table | pa.RecordBatch, path: str | Path, text: Sequence[str] = ()) -> Table:
    """The columns of an Arrow table; `path` is what errors call it, columns in `text` become text."""
    names = [str(n).strip() for n in raw.schema.names]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DataError(f"{path} has {names.count(twice[0])} columns named {twice[0]!r}; every column needs its own name")
    if raw.num_rows == 0:
        raise DataError(f"{path} has a header but no rows")
    columns = {n: _column(path, n, raw.column(i), n in set(text)) for i, n in enumerate(names)}
    return Table(str(path), columns, raw.num_rows)


def is_parquet(path: str | Path) -> bool:
    """Whether the name ends as Parquet files do."""
    return Path(path).suffix.lower() in (".parquet", ".pq")


def _read_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(path)


def _read_csv(path: Path, text: Sequence[str]) -> pa.Table:
    from pyarrow import csv as arrow_csv

    header, separator = _header(path)
    suffixes = [s.lower() for s in path.suffixes]
    spelled = {name for name in header.rstrip("\r").split(separator) if name.strip().strip('"').strip() in text}
    as_text = {name.strip('"'): pa.string() for name in spelled} | dict.fromkeys(text, pa.string())
    # one block: with several, Arrow settles a column's type on the first and fails on the next
    block = max(path.stat().st_size * (20 if ".gz" in suffixes else 1), 1 << 20) + 1
    return arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(block_size=min(block, 2**31 - 1)),
        parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            null_values=sorted(MISSING_WORDS), strings_can_be_null=True, column_types=as_text
        ),
    )  # fmt: skip


def _header(path: Path) -> tuple[str, str]:
    """The first line of a CSV file, and what separates its words; raises `DataError` where it is not in UTF-8."""
    with pa.input_stream(str(path), compression="detect") as stream:
        line = stream.read(1 << 16).split(b"\n", 1)[0]
    try:
        header = codecs.getincrementaldecoder("utf-8")().decode(line).lstrip("\ufeff")  # which may be cut within a character
    except UnicodeDecodeError:
        raise DataError(f"{path} is not in UTF-8, to tell by its header; save it as UTF-8 "
                        "(Excel: CSV UTF-8; iconv -f LATIN1 -t UTF-8)") from None  # fmt: skip
    tabbed = {".tsv", ".tab"} & {s.lower() for s in path.suffixes}
    return header, "\t" if tabbed else max(SEPARATORS, key=header.count)


def column_names(path: str | Path) -> list[str]:
    """The names of a table's columns, without reading its rows; raises `OSError` or Arrow's errors where there are none."""
    path = Path(path)
    if is_parquet(path):
        from pyarrow import parquet

        return [str(name).strip() for name in parquet.read_schema(path).names]
    header, separator = _header(path)
    return [name.strip() for name in next(csv.reader([header.rstrip("\r")], delimiter=separator))]


def _column(path: str | Path, name: str, values: pa.ChunkedArray | pa.Array, as_text: bool) -> Column:
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    t = array.type
    if pa.types.is_dictionary(t):
        if pa.types.is_string_view(t.value_type):  # which Arrow cannot decode
            array = array.cast(pa.dictionary(t.index_type, pa.large_string()))
        array = array.dictionary_decode()
        t = array.type
        as_text = True
    is_text = pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)
    if as_text and not is_text:  # integers and booleans of a column that is declared categorical
        kind = "boolean" if pa.types.is_boolean(t) else "number"
        array = pa.array(list(Column(name, kind, array).texts()), pa.string())
        is_text = True
    if pa.types.is_null(t) or array.null_count == len(array):
        return Column(name, "empty", array)
    if pa.types.is_boolean(t) and not is_text:
        return Column(name, "boolean", array)
    if is_text:
        return Column(name, "text", array)
    if pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t):
        return Column(name, "number", array)
    if pa.types.is_timestamp(t) or pa.types.is_date(t):
        return Column(name, "date", array)
    reason = "bytes that are no UTF-8 text" if pa.types.is_binary(t) else f"values of type {t}"
    raise DataError(f"column {name!r} of {path} holds {reason}; columns must be numbers, text, true/false or dates")
