"""Tables of pandas, polars and Arrow, and whatever else exports itself as Arrow data, as Arrow tables.

Nothing is imported but for data that comes from it; polars exports itself, so nothing of it ever is.
"""

from __future__ import annotations

import sys
from typing import Any

from retrograde.errors import DataError


def is_tabular(values: Any) -> bool:
    """Whether this is a table, or a column of one."""
    return _is_pandas(values) or hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")


def is_column(values: Any) -> bool:
    """Whether this tabular thing is a single column: a Series, an Arrow array."""
    return not hasattr(values, "columns") and not hasattr(values, "schema")


def arrow_of(values: Any, name: str) -> Any:
    """A tabular thing as a `pyarrow.Table`, without the index of pandas; `name` is what errors, and columns without one, call it.

    Raises `DataError` for objects that Arrow has no type for.
    """
    import pyarrow as pa

    try:
        if is_column(values):
            called = getattr(values, "name", None) or name
            if not _is_pandas(values):
                return pa.table({called: values if isinstance(values, pa.Array) else pa.chunked_array(values)})
            values = values.to_frame(called)
        return pa.Table.from_pandas(values, preserve_index=False) if _is_pandas(values) else pa.table(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        said = ": ".join(str(part) for part in reversed(error.args))  # the last argument says which column
        raise DataError(f"{name} is no table of numbers: {said}. Make numbers of that column first, or leave it out") from None


def _is_pandas(values: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, (pandas.DataFrame, pandas.Series, pandas.Index))
