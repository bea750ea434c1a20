"""Reads the outputs of tests/formats.rs with other programs: read.py DIRECTORY."""

import csv
import io
import json
import pathlib
import sys

import duckdb
import msgpack
import pyarrow.feather
import pyarrow.parquet
import zstandard

directory = pathlib.Path(sys.argv[1])
expected = [
    {"name": f"röw {n}", "score": 0.5 if n % 3 else None, "count": n} for n in range(1000)
]


def compressed(name):
    return zstandard.ZstdDecompressor().stream_reader((directory / name).open("rb")).read()


def from_csv():
    for row in csv.DictReader(io.StringIO((directory / "rows.csv").read_text())):
        score = float(row["score"]) if row["score"] else None
        yield {"name": row["name"], "score": score, "count": int(row["count"])}


duck = duckdb.sql(f"select * from '{directory / 'rows.parquet'}' order by count")
readings = {
    "pyarrow, rows.parquet": pyarrow.parquet.read_table(directory / "rows.parquet").to_pylist(),
    "pyarrow, raw.parquet": pyarrow.parquet.read_table(directory / "raw.parquet").to_pylist(),
    "pyarrow, rows.arrow": pyarrow.feather.read_table(directory / "rows.arrow").to_pylist(),
    "duckdb, rows.parquet": [dict(zip(duck.columns, row)) for row in duck.fetchall()],
    "zstandard, rows.json.zst": json.loads(compressed("rows.json.zst")),
    "zstandard, rows.msgpack.zst": msgpack.unpackb(compressed("rows.msgpack.zst")),
    "csv, rows.csv": list(from_csv()),
}
for reader, rows in readings.items():
    assert rows == expected, f"{reader}: {rows[:3]}"
    print(f"{reader}: {len(rows)} rows")
