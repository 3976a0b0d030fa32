"""docs/policy.md against the code: every key with its default, every rule, every example."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lonelycat.checks.health.registry import BUILT_IN, health_kind
from lonelycat.checks.services.registry import SERVICE_KINDS
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_file import load_policy
from lonelycat.governance.rules.codes import CODES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
KINDS = PAGE.with_name("health-checks.md")
_ROW = re.compile(r"^\| `([a-z][\w-]*(?:\[\])?(?:\.[\w\[\]]+)*)` \| (required|`.*?`) \|", re.MULTILINE)
REQUIRED = "required"


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every key below ``model`` with its default as YAML would have it."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key, _default(field)
        for suffix, inner in _models_in(field.annotation):
            yield from keys_of(inner, f"{key}{suffix}.")


def _models_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        yield from _models_in(arguments[0])
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _models_in(argument)
    elif origin is dict:
        yield from ((f".NAME{suffix}", model) for suffix, model in _models_in(arguments[1]))
    elif origin is tuple:
        yield from ((f"[]{suffix}", model) for suffix, model in _models_in(arguments[0]))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation


def _default(field: FieldInfo) -> object:
    return REQUIRED if field.is_required() else _plain(field.get_default(call_default_factory=True))


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {}
    if isinstance(value, Enum):
        return value.name if isinstance(value, int) else value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def documented() -> dict[str, object]:
    """Return what the pages say: key and default."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8") + KINDS.read_text(encoding="utf-8"))
    assert len({key for key, _ in rows}) == len(rows), "a key stands twice"
    return {key: REQUIRED if text == REQUIRED else yaml.safe_load(text.strip("`")) for key, text in rows}


def test_every_key_stands_there_with_its_default() -> None:
    actual = dict(keys_of(Policy))
    for name in BUILT_IN:
        actual |= dict(keys_of(health_kind(name).parameters, f"{name}."))
    for name, service in SERVICE_KINDS.items():
        actual |= dict(keys_of(service.parameters, f"service-{name}."))
    said = documented()
    assert said.keys() == actual.keys(), sorted(said.keys() ^ actual.keys())
    wrong = {key: (said[key], actual[key]) for key in actual if said[key] != actual[key]}
    assert not wrong


def test_every_rule_stands_there_with_its_meaning() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (always)? ?\|$", text[text.index("\n## Rules") :], re.MULTILINE)
    said = {code: (meaning, always == "") for code, meaning, always in rows}
    assert said == {code: (what.meaning, what.liftable) for code, what in CODES.items()}


def _examples() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", _examples(), ids=lambda text: text.split(":", 1)[0])
def test_every_example_loads(example: str) -> None:
    whole = example if example.startswith("version:") else _whole(example)
    assert load_policy(whole.encode(), source="docs/policy.md").policy.version == 1


def _whole(example: str) -> str:
    return 'version: 1\nname: example\nexecutor:\n  allowed_paths: ["**"]\n' + example


def test_an_example_with_an_unknown_key_would_be_seen() -> None:
    from lonelycat.errors import PolicyError

    with pytest.raises(PolicyError):
        load_policy(_whole("contents: {secrets: deny}\n").encode(), source="docs/policy.md")
