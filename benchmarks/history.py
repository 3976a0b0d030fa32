"""What earlier executions cost the next one: a one-file execution with 0, 1,000 and 100,000 executions on record.

Run alone: ``python -m benchmarks.history``. The rows are those of one real execution, multiplied in the database: their
signatures do not hold, which costs the next execution nothing, as it looks at none of them.
"""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.apply_many import lonelycat
from benchmarks.workspace import fill, govern, throwaway

ROWS = (0, 1_000, 100_000)
ROUNDS = 15
TABLES = ("executions", "steps", "execution_paths", "idempotency", "audit")


@dataclass(frozen=True)
class Cost:
    """Median seconds of a one-file execution with ``rows`` earlier ones; the ratio to none is the median by round."""

    rows: int
    execute: float
    to_none: float
    database_mib: float


def measure(sizes: tuple[int, ...] = ROWS, rounds: int = ROUNDS) -> list[Cost]:
    """Measure with each number of earlier executions, in a workspace of its own; they take turns."""
    with ExitStack() as stack:
        roots = [stack.enter_context(throwaway()) for _ in sizes]
        for root, rows in zip(roots, sizes, strict=True):
            subprocess.run(["git", "init", "--quiet", "."], cwd=root, check=True)
            govern(root)
            lonelycat(root, fill(root, 1), 0, 1)
            multiply(_database(root), rows)
        turns = [[lonelycat(root, fill(root, 1), 0, 1) for root in roots] for _ in range(rounds + 2)][2:]
        return [
            Cost(
                rows,
                statistics.median(turn[number] for turn in turns),
                statistics.median(turn[number] / turn[0] for turn in turns),
                _database(root).stat().st_size / 2**20,
            )
            for number, (root, rows) in enumerate(zip(roots, sizes, strict=True))
        ]


def _database(root: Path) -> Path:
    return root / ".lonelycat/lonelycat.db"


def multiply(database: Path, rows: int) -> None:
    """Add ``rows`` copies of the one execution on record, with ids, paths and audit records of their own."""
    with sqlite3.connect(database) as connection:
        (newest,) = connection.execute("SELECT max(execution_id) FROM executions").fetchone()
        for table in TABLES:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            chosen = ", ".join(_varied(column) for column in columns)
            only = "t.execution_id = :newest" if "execution_id" in columns else "t.seq = (SELECT max(seq) FROM audit)"
            statement = (
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)"
                f" INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} AS t JOIN n"
                f" WHERE {only} AND :rows > 0"
            )
            connection.execute(statement, {"rows": rows, "newest": newest})


def _varied(column: str) -> str:
    if column in ("execution_id", "plan_id"):
        return f"substr(t.{column}, 1, 10) || printf('%021d', n.i)"
    if column == "path":
        return "'src/file_' || n.i"
    if column == "checksum":
        return "printf('%064x', n.i)"
    return "t.seq + n.i" if column == "seq" else f"t.{column}"


if __name__ == "__main__":
    for row in measure():
        print(row)
