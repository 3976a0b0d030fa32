"""Names that start with a quote, as they are and as JSON carries them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.paths import all_to_wire, from_wire, to_wire
from lonelycat.changes.plan import ChangePlan
from lonelycat.changes.strict_json import loads

NAMES = st.one_of(
    st.text(st.sampled_from('ab"\\ä'), min_size=1, max_size=5),
    st.binary(min_size=1, max_size=5).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


@pytest.mark.parametrize("name", ['"quoted', '"quoted"', '"', '""', 'a"b', '"not utf-8 \udcff', "\udcff"])
def test_a_name_survives_construction_and_json(name: str) -> None:
    changeset = ChangeSet.build(
        plan_id="plan_1", changes=[FileChange.create(f"docs/{name}", b""), FileChange.create(name, b"")]
    )
    assert [change.path for change in changeset.changes] == [f"docs/{name}", name]
    read = ChangeSet.model_validate(loads(changeset.model_dump_json().encode()))
    assert read == changeset
    assert read.integrity_error() is None


@given(st.lists(NAMES, max_size=4))
def test_many_names_are_written_as_each_alone(names: list[str]) -> None:
    written = all_to_wire(tuple(names))
    assert written == [to_wire(name) for name in names]
    assert [from_wire(text) for text in written] == names


@pytest.mark.parametrize("name", ["docs/a.md", '"quoted', 'docs/"quoted"', "docs/ä", "docs/\udcff"])
def test_a_plan_with_such_a_name_survives_json(name: str) -> None:
    plan = ChangePlan.new(intent="a name", created_by="agent:test", affected_paths=["docs/plain.md", name])
    dumped = plan.model_dump(mode="json")
    assert dumped["affected_paths"] == ["docs/plain.md", to_wire(name)]
    assert loads(plan.model_dump_json().encode())["affected_paths"] == dumped["affected_paths"]
    assert ChangePlan.model_validate(dumped) == plan
    assert plan.model_dump()["affected_paths"] == ("docs/plain.md", name)
