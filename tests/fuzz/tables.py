"""Parquet and Arrow files whose columns are others: of other types, with other values, missing, twice."""

from __future__ import annotations

import io
from collections.abc import Sequence
from random import Random
from typing import Any

from mutation import change_tree, json_values


def columns(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One or two columns of the table become others; written as the format that it was."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet = data.startswith(b"PAR1")
    try:
        table = pq.read_table(io.BytesIO(data)) if parquet else pa.ipc.open_file(io.BytesIO(data)).read_all()
        table.validate(full=True)  # else what is done with it may end the process
        for _ in range(rng.choice([1, 1, 2])):
            table = _changed(rng, table)
        out = io.BytesIO()
        if parquet:
            pq.write_table(table, out, row_group_size=rng.choice([1, 7, 1000]))
        else:
            with pa.ipc.new_file(out, table.schema) as writer:
                writer.write_table(table, max_chunksize=rng.choice([1, 7, 1000]))
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError):
        return data
    return out.getvalue()


def _changed(rng: Random, table: Any) -> Any:
    import pyarrow as pa

    at = rng.randrange(table.num_columns)
    name, how = table.column_names[at], rng.randrange(6)
    if how == 0:
        return table.remove_column(at)
    if how == 1:
        return table.append_column(rng.choice([name, name + "x", rng.choice(table.column_names)]), table.column(at))
    if how == 2:
        kinds = [pa.string(), pa.int64(), pa.uint8(), pa.float64(), pa.bool_(), pa.binary(), pa.int32(), pa.null()]
        kinds += [pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.decimal128(20, 2), pa.timestamp("ns")]
        return table.set_column(at, name, table.column(at).cast(rng.choice(kinds), safe=False))
    if how == 3:
        return table.take(pa.array([rng.randrange(table.num_rows) for _ in range(rng.choice([0, 1, 30]))], pa.int64()))
    values = table.column(at).to_pylist()
    if how == 4 and any(isinstance(value, str) for value in values):
        changed = [
            json_values(rng, value.encode() or b"x", [b"x"]).decode("utf-8", "replace")
            if isinstance(value, str) and rng.random() < 0.5
            else value
            for value in values
        ]
    else:
        changed = change_tree(rng, values, lambda rng: rng.choice([None, 0, -1, 1 << 40, 255, "x", "", 1.5, b"x"]))
        changed = (changed if isinstance(changed, list) else [])[: len(values)]
        changed += [None] * (len(values) - len(changed))
    return table.set_column(at, name, pa.array(changed))
