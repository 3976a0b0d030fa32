"""A journal's frames as they are read back: every field is held against the form in which an executor writes it.

A checksum says that a frame is whole, not who wrote it. Undo makes, moves and removes what INTENT names, so for one
that no executor would write nothing is done at all.

Invariants:
- What :func:`read_intent` returns can be undone: numbers that name files of the stage alone, paths that stay in the
  workspace and out of what is protected, directories that the operations make or leave, the pre-image that it states.
- It is that, or ``JOURNAL_DAMAGED``, whatever the frames say.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from lonelycat.changes.paths import check_path, from_wire, is_protected, printable
from lonelycat.errors import LonelyCatError, StateError
from lonelycat.executor.journal import JournalContents, RecordType, damaged
from lonelycat.executor.layout import WITH_COPIES, WITHOUT_COPIES, Directory, Intent
from lonelycat.executor.operations import FileOperation, Kind, ancestors

_MOST_ID = 2**32 - 2
"""The one above it asks the system to leave an owner as it is."""
_MOST_INODE = 2**64 - 1


def read_intent(contents: JournalContents) -> Intent:
    """Return what INTENT says, once every frame has its form.

    Raises:
        StateError: ``JOURNAL_DAMAGED``; ``JOURNAL_VERSION`` for a journal of another version.
    """
    body = contents.intent.body
    version = body.get("version")
    if type(version) is int and version not in (WITHOUT_COPIES, WITH_COPIES):
        raise StateError(
            "JOURNAL_VERSION",
            "an interrupted transaction was written by another version of LonelyCat",
            "Run `lonelycat recover` with the version that wrote it.",
        )
    try:
        for record in contents.records[1:]:
            _check_later(record.type, record.body)
        intent = _intent(body, version)
        _check_together(intent)
        if intent.permissions and body.get("pre_image", intent.pre_image) != intent.pre_image:
            raise ValueError("it states another pre-image than that of its operations")
    except (LonelyCatError, ValueError) as error:
        why = error.message if isinstance(error, LonelyCatError) else str(error)
        raise damaged(f"was not written by an executor: {why}") from error
    return intent


# -- INTENT, field by field ------------------------------------------------------------------------------------------


def _intent(body: dict[str, object], version: object) -> Intent:
    identity = body.get("identity")
    if not isinstance(identity, dict):
        raise ValueError("identity is not an object")
    early = _operations(body.get("early"), 0)
    operations = early + _operations(body.get("rest"), len(early))
    copied = version == WITH_COPIES and type(version) is int
    if not copied and (type(version) is not int or "inodes" in body):
        raise ValueError(f"version is {version!r:.20}" if type(version) is not int else "inodes are not of its version")
    return Intent(
        identity=identity,
        early=early,
        rest=operations[len(early) :],
        rooms=_directories(body.get("rooms")),
        made=tuple(map(_path, _list(body.get("made"), "made"))),
        pruned=_directories(body.get("pruned")),
        permissions=_permissions(body.get("permissions", []), operations),
        inodes=_inodes(body.get("inodes"), operations) if copied else (),
    )


def _operations(records: object, first: int) -> tuple[FileOperation, ...]:
    found = tuple(FileOperation.from_record(record) for record in _list(records, "operations"))
    for number, operation in enumerate(found, first):
        if operation.number != number:
            raise ValueError(f"operation {number} has the number {operation.number}")
        _checked(operation.path)
    return found


def _directories(records: object) -> tuple[Directory, ...]:
    return tuple(map(_directory, _list(records, "directories")))


def _directory(record: object) -> Directory:
    fields = _list(record, "a directory")
    if len(fields) != 4:
        raise ValueError("a directory has not four fields")
    path, mode, uid, gid = fields
    return Directory(_path(path), _number(mode, 0, 0o7777), _number(uid, 0, _MOST_ID), _number(gid, 0, _MOST_ID))


def _permissions(noted: object, operations: tuple[FileOperation, ...]) -> tuple[int | None, ...]:
    if noted == [] and isinstance(noted, list):
        return ()
    found = [None if one is None else _number(one, 0, 0o7777) for one in _list(noted, "permissions")]
    if [one is None for one in found] != [operation.old is None for operation in operations]:
        raise ValueError("permissions are not those of its old files")
    return tuple(found)


def _inodes(noted: object, operations: tuple[FileOperation, ...]) -> tuple[int | None, ...]:
    found = [None if one is None else _number(one, 1, _MOST_INODE) for one in _list(noted, "inodes")]
    if len(found) != len(operations) or not any(found):
        raise ValueError("inodes are not those of its operations")
    for inode, operation in zip(found, operations, strict=True):
        if inode is not None and (operation.old is None or operation.old.is_link):
            raise ValueError(f"{printable(operation.path)} has an inode and no old file to be copied")
    return tuple(found)


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{what}: not a list")
    return value


def _number(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"no number from {least} to {most} where there has to be one")
    return value


def _path(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a path is no text")
    return _checked(from_wire(value))


def _checked(path: str) -> str:
    if is_protected(check_path(path)):
        raise ValueError(f"{printable(path)} is protected")
    return path


# -- and together ----------------------------------------------------------------------------------------------------


def _check_together(intent: Intent) -> None:
    if any(operation.kind is not Kind.DELETE for operation in intent.early):
        raise ValueError("what makes room is not a deletion")
    created = [operation.path for operation in intent.rest if operation.kind is Kind.CREATE]
    deleted = [operation.path for operation in intent.operations if operation.kind is Kind.DELETE]
    rooms, pruned = [item.path for item in intent.rooms], [item.path for item in intent.pruned]
    _check_once([operation.path for operation in intent.operations])
    _check_once([*rooms, *pruned])
    _check_once(intent.made)
    _check_above(rooms[::-1], [operation.path for operation in intent.early])
    _check_above(pruned[::-1], deleted)
    _check_above(intent.made, created)


def _check_once(paths: Iterable[str]) -> None:
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise ValueError(f"{printable(path)} stands there twice")
        seen.add(path)


def _check_above(directories: Iterable[str], files: Iterable[str]) -> None:
    """Check that each directory lies above one of the files, and that none comes before one that lies above it."""
    above = {directory for path in files for directory in ancestors(path)}
    for path in directories:
        if path not in above:
            raise ValueError(f"nothing of it lies in the directory {printable(path)}")
    if any(lower.count("/") < upper.count("/") for upper, lower in pairwise(directories)):
        raise ValueError("directories are not in their order")


# -- later frames ----------------------------------------------------------------------------------------------------


def _check_later(type_: RecordType, body: dict[str, object]) -> None:
    if type_ is RecordType.INTENT:
        raise ValueError("it has two intents")
    if type_ in (RecordType.RESTART_BEGUN, RecordType.RESTART_DONE):
        _check_texts([body.get("service")], "service")
    elif type_ is RecordType.RESTARTS:
        _check_texts(body.get("services", []), "services")
    elif type_ is RecordType.UNDONE:
        _check_texts(body.get("problems"), "problems")
        _check_texts(body.get("conflicts", []), "conflicts")
        for pair in _list(body.get("quarantined", []), "quarantined"):
            _check_texts(pair, "quarantined")
            if len(_list(pair, "quarantined")) != 2:
                raise ValueError("quarantined: not a path with its place")
        if not isinstance(body.get("restored"), bool) or not isinstance(body.get("tree_digest"), str | None):
            raise ValueError("what an undo came to is not told as it is")


def _check_texts(value: object, what: str) -> None:
    if not all(isinstance(item, str) for item in _list(value, what)):
        raise ValueError(f"{what}: not all of it is text")
