"""Names that start with a quote, as they are and as JSON carries them."""

from __future__ import annotations

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.strict_json import loads


@pytest.mark.parametrize("name", ['"quoted', '"quoted"', '"', '""', 'a"b', '"not utf-8 \udcff', "\udcff"])
def test_a_name_survives_construction_and_json(name: str) -> None:
    changeset = ChangeSet.build(
        plan_id="plan_1", changes=[FileChange.create(f"docs/{name}", b""), FileChange.create(name, b"")]
    )
    assert [change.path for change in changeset.changes] == [f"docs/{name}", name]
    read = ChangeSet.model_validate(loads(changeset.model_dump_json().encode()))
    assert read == changeset
    assert read.integrity_error() is None
