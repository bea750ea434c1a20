"""Reads the outputs of tests/columns/tables.rs with other programs, all files as one table: read.py DIRECTORY."""

import datetime
import pathlib
import sys

import duckdb
import pyarrow
import pyarrow.dataset
import pyarrow.feather

directory = pathlib.Path(sys.argv[1])
names = ["none", "null", "mixed"]
columns = (
    "id day time local at count difference address ratings state place tags days note".split()
)
null = dict.fromkeys(columns) | {"tags": [], "days": []}
utc = datetime.UTC
full = {
    "id": 3,
    "day": datetime.date(1969, 7, 20),
    "time": datetime.time(23, 59, 58, 1),
    "local": datetime.datetime(2024, 2, 29, 1, 2, 3, 999999),
    "at": datetime.datetime(2024, 3, 1, 0, 0, 0, 1, tzinfo=utc),
    "count": 7,
    "difference": -7,
    "address": "127.0.0.1",
    "ratings": {"a": 0.5},
    "state": "closed",
    "place": {"name": "Bern", "since": datetime.date(1191, 1, 1)},
    "tags": ["x", None],
    "days": [datetime.date(2026, 11, 28)],
    "note": "",
}
expected = [null | {"id": 1}, null | {"id": 2}, full, null | {"id": 4}]


def plain(value):
    """The same with maps as dictionaries, and times in UTC."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(utc)
    return value


def rows(table):
    schema = pyarrow.schema([field.with_type(micros(field.type)) for field in table.schema])
    return [plain(row) for row in table.cast(schema).sort_by("id").to_pylist()]


def micros(kind):
    """Python's own times have no nanoseconds."""
    if pyarrow.types.is_timestamp(kind):
        return pyarrow.timestamp("us", kind.tz)
    return pyarrow.time64("us") if pyarrow.types.is_time64(kind) else kind


for kind in ["parquet", "arrow"]:
    files = [str(directory / f"{name}.{kind}") for name in names]
    tables = [pyarrow.dataset.dataset(file, format=kind).to_table() for file in files]
    assert tables[0].schema == tables[1].schema == tables[2].schema, tables
    assert [len(table) for table in tables] == [0, 2, 2]
    read = rows(pyarrow.concat_tables(tables))
    assert read == expected, f"pyarrow, {kind}: {read}"
    print(f"pyarrow, {kind}: {len(read)} rows")

duckdb.sql("set timezone = 'UTC'")
duck = duckdb.sql(f"select * from '{directory}/*.parquet' order by id")
assert duck.columns == columns, duck.columns
types = dict(zip(duck.columns, map(str, duck.types)))
print(f"duckdb: {types}")
read = [{name: plain(value) for name, value in zip(duck.columns, row)} for row in duck.fetchall()]
assert read == expected, f"duckdb: {read}"
for name in names:
    one = duckdb.sql(f"select * from '{directory / name}.parquet'")
    assert one.types == duck.types, f"{name}: {one.types}"
