"""The targets by name. Each is a module with:

- ``seeds()``: inputs to start from; ``python -m tests.fuzz --write-seeds`` keeps them in ``corpus/``;
- ``WORDS``: pieces that the fuzzer may put in;
- ``check(data)``: hands ``data`` to the parser, and raises for anything but a typed answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

NAMES = ("diff", "json", "policy", "globs", "bumps")
CORPUS = Path(__file__).parent / "corpus"


class Target(Protocol):
    """What the runner needs of a target."""

    WORDS: tuple[bytes, ...]

    def seeds(self) -> Iterable[bytes]:
        """Return inputs to start from."""
        ...

    def check(self, data: bytes) -> None:
        """Judge one input."""
        ...


def load(name: str) -> Target:
    """Import the target ``name``; its code is imported with it, so instrument before."""
    module: Target = importlib.import_module(f"tests.fuzz.{name}_target")  # type: ignore[assignment]
    return module


def corpus(name: str) -> list[Path]:
    """Return the inputs that are kept for a target: seeds, and whatever was once a finding."""
    return sorted((CORPUS / name).iterdir())
