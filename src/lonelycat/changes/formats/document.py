"""Plans and change sets as JSON documents, and the draft change set that an agent writes by hand.

A draft is ``{"changes": [{"operation": "create", "path": "a.txt", "content": {"text": "hello\\n"}}, …]}``: no ids,
no checksum; hashes and modes that it leaves out are filled in from the contents and from the workspace. What it does
state is kept as stated, so that a wrong ``old_hash`` is found out as a conflict.

Invariant: every refusal names the place in the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from lonelycat.changes.changeset import REGULAR, BlobRef, ChangeSet, FileChange
from lonelycat.changes.digest import sha256_hex
from lonelycat.changes.formats.base import OldFile, ReadOld
from lonelycat.changes.model import Strict
from lonelycat.changes.paths import check_path, from_wire, printable
from lonelycat.changes.plan import ChangePlan
from lonelycat.changes.strict_json import loads
from lonelycat.errors import InputError, LonelyCatError
from lonelycat.settings import Limits

_Model = TypeVar("_Model", bound=Strict)
_SHOWN_PROBLEMS = 5
_DRAFT_KEYS = frozenset({"changes"})


def plan_from_json(data: bytes, limits: Limits | None = None) -> ChangePlan:
    """Read a plan.

    Raises:
        InputError: ``JSON_…``, or ``INVALID_PLAN`` naming the field.
        PathError: a path that is unsafe under any policy.
    """
    return _validate(ChangePlan, loads(data, what="plan", limits=limits), "INVALID_PLAN", "plan")


def changeset_from_json(data: bytes, limits: Limits | None = None) -> ChangeSet:
    """Read a complete change set; its checksum is taken as stated (see :meth:`ChangeSet.integrity_error`).

    Raises:
        InputError: ``JSON_…``, ``INVALID_CHANGESET`` naming the field, or one of ``check_changes``.
        PathError: a path that is unsafe under any policy.
    """
    value = loads(data, what="change set", limits=limits)
    return _validate(ChangeSet, value, "INVALID_CHANGESET", "change set")


def changes_from_json(data: bytes, read_old: ReadOld, limits: Limits | None = None) -> tuple[FileChange, ...]:
    """Read a draft change set and fill in what it leaves out.

    Args:
        data: the document.
        read_old: returns the workspace's file at a checked path, or None if there is none.
        limits: caps on size, depth and number of changes.

    Raises:
        InputError: ``JSON_…``, or ``INVALID_CHANGESET`` naming the field.
        PathError: a path that is unsafe under any policy.
        ConflictError: ``FILE_MISSING`` where an old hash or mode is left out and there is no such file.
    """
    return _draft(loads(data, what="change set", limits=limits), read_old, limits or Limits())


def read_changeset(data: bytes, read_old: ReadOld, limits: Limits | None = None) -> ChangeSet | tuple[FileChange, ...]:
    """Read either form: a complete change set, or the changes of a draft.

    Raises:
        InputError, PathError, ConflictError: as the two readers do.
    """
    value = loads(data, what="change set", limits=limits)
    if isinstance(value, dict) and set(value) <= _DRAFT_KEYS:
        return _draft(value, read_old, limits or Limits())
    return _validate(ChangeSet, value, "INVALID_CHANGESET", "change set")


def _draft(value: Any, read_old: ReadOld, limits: Limits) -> tuple[FileChange, ...]:
    changes = value.get("changes") if isinstance(value, dict) and set(value) == _DRAFT_KEYS else None
    if not isinstance(changes, list):
        raise _invalid("changes", 'a draft is {"changes": [...]} and nothing else')
    if len(changes) > limits.max_changes:
        raise InputError("TOO_MANY_CHANGES", f"over {limits.max_changes} changes", "Split the change set.")
    result = []
    for index, draft in enumerate(changes):
        place = f"changes[{index}]"
        if not isinstance(draft, dict):
            raise _invalid(place, "must be an object")
        filled = _filled(draft, read_old, place)
        result.append(_validate(FileChange, filled, "INVALID_CHANGESET", "change set", place))
    return tuple(result)


def _filled(draft: Mapping[str, Any], read_old: ReadOld, place: str) -> dict[str, Any]:
    filled = dict(draft)
    operation = draft.get("operation")
    if operation not in ("create", "update", "delete", "rename"):
        raise _invalid(f"{place}.operation", "must be create, update, delete or rename")
    if operation != "create" and not {"old_hash", "old_mode"} <= set(draft):
        old = _old_file(draft, read_old, place, "old_path" if operation == "rename" else "path")
        filled.setdefault("old_hash", sha256_hex(old.data))
        filled.setdefault("old_mode", old.mode)
    if operation != "delete":
        filled.setdefault("new_mode", filled.get("old_mode", REGULAR))
        if "new_hash" not in filled:
            filled["new_hash"] = _content_hash(draft, place) or filled.get("old_hash")
        if operation != "create" and filled["new_hash"] == filled["old_hash"]:
            filled["content"] = None
    return filled


def _old_file(draft: Mapping[str, Any], read_old: ReadOld, place: str, key: str) -> OldFile:
    raw = draft.get(key)
    if not isinstance(raw, str):
        raise _invalid(f"{place}.{key}", "must be a string")
    path = check_path(from_wire(raw))
    old = read_old(path)
    if old is None:
        from lonelycat.changes.conflict import Conflict, conflict_error

        shown = printable(path)
        raise conflict_error(
            [Conflict(path=shown, code="FILE_MISSING", expected="a file", found="nothing", phase="propose")],
            f"{place}: {shown} does not exist",
            "Use the operation create for a new file.",
        )
    return old


def _content_hash(draft: Mapping[str, Any], place: str) -> str | None:
    if draft.get("content") is None:
        return None
    probe = {"operation": "create", "path": "probe", "new_hash": "0" * 64, "new_mode": REGULAR}
    content = _validate(
        FileChange, {**probe, "content": draft["content"]}, "INVALID_CHANGESET", "change set", place
    ).content
    return content.sha256 if isinstance(content, BlobRef) else sha256_hex(content or b"")


def _validate(model: type[_Model], value: Any, code: str, what: str, place: str = "") -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        cause = _own_error(error)
        if cause is not None:
            raise cause from error
        problems = [
            (_place(place, item["loc"]), item["msg"].removeprefix("Value error, "))
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        shown = "; ".join(f"{where}: {why}" for where, why in problems[:_SHOWN_PROBLEMS])
        more = len(problems) - _SHOWN_PROBLEMS
        raise InputError(
            code,
            f"the {what} is not valid: {shown}" + (f"; and {more} more" if more > 0 else ""),
            "See docs/concepts.md for the fields of plans and change sets.",
            details={"fields": [where for where, _ in problems[:100]]},
        ) from error


def _own_error(error: ValidationError) -> LonelyCatError | None:
    for item in error.errors(include_url=False, include_input=False):
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, LonelyCatError):
            return inner
    return None


def _place(place: str, location: tuple[int | str, ...]) -> str:
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else (f".{part}" if place else part)
    return place or "document"


def _invalid(place: str, why: str) -> InputError:
    return InputError(
        "INVALID_CHANGESET",
        f"the change set is not valid: {place}: {why}",
        "See docs/concepts.md for the fields of plans and change sets.",
        details={"fields": [place]},
    )
