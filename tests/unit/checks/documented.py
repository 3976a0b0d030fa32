"""The examples of docs/services.md, as the tests of each kind run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from lonelycat.governance.policy import Service

_PAGE = Path(__file__).resolve().parents[3] / "docs" / "services.md"


def examples() -> list[dict[str, Any]]:
    """Return every example of the page, as YAML has it."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def documented(kind: str, **places: str) -> tuple[str, Service]:
    """Return the name and the service of the first example of ``kind``; ``places`` are put over its parameters."""
    for example in examples():
        for name, service in example["services"].items():
            if service["kind"] == kind:
                return name, Service.model_validate({**service, "with": {**service["with"], **places}})
    raise AssertionError(f"docs/services.md has no example of {kind}")
