"""SQL over delivered flow log files with DuckDB (the extra `sql`): one view, `flows`, over Parquet and text files alike.

Columns are named as Parquet files name them (`pkt_srcaddr`); a field that a file lacks is null, text without a value is `-`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ringfence.insight.flowlogs.fields import FIELDS, INT_32, INT_64

VIEW = "flows"
_TYPES = {INT_32: "INTEGER", INT_64: "BIGINT"}


class NoFiles(Exception):
    """There is nothing to ask."""


def connect(places: Iterable[Path], plain: Callable[[Path], Path] = Path) -> Any:
    """A DuckDB connection with the view. `plain`: where the text of a sealed file is. ImportError without duckdb; NoFiles."""
    import duckdb

    parquet, text = (list(map(plain, paths)) for paths in files(places))
    parts = [part for part in (_parquet(parquet), *_texts(text)) if part]
    if not parts:
        raise NoFiles("there are no flow log files here yet (AWSLogs/…/vpcflowlogs/…)")
    db = duckdb.connect(":memory:")
    db.execute(f"CREATE VIEW {VIEW} AS " + " UNION ALL BY NAME ".join(parts))
    return db


def files(places: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Parquet and text files of flow logs below directories, or files named one by one."""
    found: list[Path] = []
    for place in places:
        found += [place] if place.is_file() else sorted(p for p in place.rglob("*.log.*") if "vpcflowlogs" in str(p))
    return [p for p in found if p.name.endswith(".parquet")], [p for p in found if p.name.endswith(".log.gz")]


def _parquet(paths: Sequence[Path]) -> str:
    return (
        f"SELECT * FROM read_parquet({_list(paths)}, union_by_name = true, hive_partitioning = false)" if paths else ""
    )


def _texts(paths: Sequence[Path]) -> list[str]:
    """One part for all files of the same header."""
    by_header: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        with gzip.open(path, "rt") as file:
            by_header.setdefault(tuple(file.readline().split()), []).append(path)
    return [_text(names, group) for names, group in by_header.items() if set(names) <= set(FIELDS)]


def _text(names: Sequence[str], paths: Sequence[Path]) -> str:
    types = {FIELDS[name].column: _TYPES.get(FIELDS[name].type, "VARCHAR") for name in names}
    columns = ", ".join(f"'{column}': '{type}'" for column, type in types.items())
    shown = ", ".join(
        f'coalesce("{column}", \'-\') AS "{column}"' if type == "VARCHAR" else f'"{column}"'
        for column, type in types.items()
    )
    return (
        f"SELECT {shown} FROM read_csv({_list(paths)}, delim = ' ', header = true, nullstr = '-', quote = '', escape = '', "
        f"compression = 'gzip', auto_detect = false, columns = {{{columns}}})"
    )


def _list(paths: Sequence[Path]) -> str:
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"


def between(since: int | None, until: int | None) -> str:
    """The condition on times of the predefined queries."""
    parts = [f'"start" >= {since}' if since is not None else "", f'"start" < {until}' if until is not None else ""]
    return " AND ".join(part for part in parts if part) or "1 = 1"


def run(db: Any, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of columns, and rows. duckdb.Error for what is no SQL."""
    done = db.execute(sql)
    names = [column[0] for column in done.description or ()]
    return names, done.fetchall() if names else []
