"""Workspaces on a real disk, and short ways to run transactions in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.backups import either_backup as either_backup

from lonelycat.executor.filesystem import FileSystem


class TestClock:
    """Time that moves only when somebody sleeps."""

    __test__ = False

    def __init__(self) -> None:
        self.moment = datetime(2030, 1, 1, tzinfo=UTC)
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def filesystem() -> FileSystem:
    return FileSystem()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    place.mkdir()
    return place


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """An open, empty directory."""
    place = tmp_path / "directory"
    place.mkdir()
    fd = os.open(place, os.O_RDONLY)
    yield fd
    os.close(fd)
