"""The exact change: which files get which bytes and modes, and the checksum over all of it.

Invariants:
- A ``FileChange`` states its precondition (``old_hash``, ``old_mode``) and its result (``new_hash``, ``new_mode``).
- The checksum covers every field of every change; contents are covered through their hashes.
- Constructing a model checks its *shape*. Whether hashes and checksum are *true* is asked by
  :meth:`ChangeSet.integrity_error`, by the gate and again by the executor: a tampered set must be refusable.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from sys import intern
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from lonelycat.changes.digest import HASH_PATTERN, flat_digest, sha256_hex
from lonelycat.changes.model import Hash, Instant, LongTuple, Numerous, Strict, WorkspacePath
from lonelycat.changes.paths import check_names, check_path, to_wire
from lonelycat.clock import RandomIds, SystemClock
from lonelycat.errors import InputError
from lonelycat.settings import Limits

REGULAR: Final = "100644"
EXECUTABLE: Final = "100755"
SYMLINK: Final = "120000"

Mode = Literal["100644", "100755", "120000"]


class Operation(StrEnum):
    """What happens to a file."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Content that lies in the content-addressed store instead of in the model.

    No model, for they come in tens of thousands: it takes a quarter of the memory of one and half the time.

    Attributes:
        sha256, size: of the content.
        pack: the hash of the blob that the content is a part of; None when it is a blob of its own.
        offset: where in ``pack`` the content begins.

    Raises:
        ValueError: a hash that is none, a size or an offset that is no number from 0, an offset without a pack.
    """

    sha256: str
    size: int
    pack: str | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        _require_hash("sha256", self.sha256)
        for name, number in (("size", self.size), ("offset", self.offset)):
            if type(number) is not int or number < 0:
                raise ValueError(f"{name} must be a whole number that is not negative")
        if self.pack is not None:
            _require_hash("pack", self.pack)
            object.__setattr__(self, "pack", intern(self.pack))  # very many name the same one
        elif self.offset != 0:
            raise ValueError("offset belongs to a pack, and only there")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the reference whose JSON form is ``value``.

        Raises:
            ValueError: there is none.
        """
        needed, known = {"sha256", "size"}, {"sha256", "size", "pack", "offset"}
        if not isinstance(value, dict) or not needed <= value.keys() <= known:
            raise ValueError("a blob is given by sha256 and size, a part of one also by pack and offset")
        return cls(**value)

    @property
    def blob(self) -> str:
        """The hash of the blob that holds the content."""
        return self.pack or self.sha256

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        own = {"sha256": self.sha256, "size": self.size}
        return own if self.pack is None else {**own, "pack": self.pack, "offset": self.offset}


def _require_hash(name: str, value: object) -> None:
    if not isinstance(value, str) or not HASH_PATTERN.fullmatch(value):
        raise ValueError(f"{name} must be 64 lower-case hexadecimal digits")


Content = bytes | BlobRef | None


def _content_from_json(value: object) -> Content:
    if value is None or isinstance(value, bytes | BlobRef):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, dict) and len(value) == 1:
        ((kind, body),) = value.items()
        if kind == "text" and isinstance(body, str):
            return body.encode("utf-8")
        if kind == "base64" and isinstance(body, str):
            try:
                return base64.b64decode(body, validate=True)
            except binascii.Error as error:
                raise ValueError(f"malformed base64: {error}") from error
        if kind == "blob":
            return BlobRef.from_json(body)
    raise ValueError('content must be {"text": …}, {"base64": …}, {"blob": {"sha256", "size"}} or null')


def _content_to_json(value: Content) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, BlobRef):
        return {"blob": value.to_json()}
    try:
        return {"text": value.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def _operation_from_json(value: object) -> object:
    return Operation(value) if isinstance(value, str) else value


class FileChange(Numerous):
    """One file's change.

    Attributes:
        operation: create, update, delete or rename.
        path: workspace-relative path of the result (of the deleted file for a delete).
        old_path: for a rename, where the file was.
        old_hash, new_hash: SHA-256 of the bytes (for a symbolic link, of its target) before and after.
        old_mode, new_mode: git's modes before and after: 100644, 100755 or 120000.
        content: the new bytes, or a reference to them; None when they equal the old ones or the file goes.
    """

    operation: Annotated[Operation, BeforeValidator(_operation_from_json)]
    path: WorkspacePath
    old_path: WorkspacePath | None = None
    old_hash: Hash | None = None
    new_hash: Hash | None = None
    old_mode: Mode | None = None
    new_mode: Mode | None = None
    content: Annotated[
        bytes | BlobRef | None,
        PlainValidator(_content_from_json),
        PlainSerializer(_content_to_json, when_used="json"),
    ] = None

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        has_old = self.operation is not Operation.CREATE
        has_new = self.operation is not Operation.DELETE
        for name, wanted in (("old", has_old), ("new", has_new)):
            given = (getattr(self, f"{name}_hash") is not None, getattr(self, f"{name}_mode") is not None)
            if given != (wanted, wanted):
                need = "needs" if wanted else "must not have"
                raise ValueError(f"a {self.operation} {need} {name}_hash and {name}_mode")
        if (self.old_path is not None) != (self.operation is Operation.RENAME):
            raise ValueError("old_path belongs to a rename, and only there")
        if self.old_path == self.path:
            raise ValueError("a rename must go to another path")
        if self.content is None and has_new and self.new_hash != self.old_hash:
            raise ValueError("content is missing although new_hash differs from old_hash")
        if self.content is not None and not has_new:
            raise ValueError("a delete has no content")
        if self.operation is Operation.UPDATE and (self.old_hash, self.old_mode) == (self.new_hash, self.new_mode):
            raise ValueError("an update must change bytes or mode")
        if isinstance(self.content, BlobRef) and self.content.sha256 == self.new_hash:
            object.__setattr__(self.content, "sha256", self.new_hash)  # one text in memory, not two
        return self._slimmed()

    @classmethod
    def create(cls, path: str, content: bytes | str | BlobRef, *, mode: Mode = REGULAR) -> Self:
        """Return the creation of ``path`` with ``content``; it must not exist yet."""
        data = _as_content(content)
        return cls(operation=Operation.CREATE, path=check_path(path), new_hash=_hash(data), new_mode=mode, content=data)

    @classmethod
    def update(
        cls,
        path: str,
        old: bytes | str | BlobRef,
        new: bytes | str | BlobRef,
        *,
        old_mode: Mode = REGULAR,
        new_mode: Mode | None = None,
    ) -> Self:
        """Return the replacement of ``old`` by ``new`` at ``path``; ``new_mode`` defaults to ``old_mode``."""
        before, after = _as_content(old), _as_content(new)
        return cls(
            operation=Operation.UPDATE,
            path=check_path(path),
            old_hash=_hash(before),
            old_mode=old_mode,
            new_hash=_hash(after),
            new_mode=new_mode or old_mode,
            content=after if _hash(before) != _hash(after) else None,
        )

    @classmethod
    def delete(cls, path: str, old: bytes | str | BlobRef, *, mode: Mode = REGULAR) -> Self:
        """Return the deletion of ``path``, whose bytes are ``old``."""
        return cls(operation=Operation.DELETE, path=check_path(path), old_hash=_hash(_as_content(old)), old_mode=mode)

    @classmethod
    def rename(
        cls,
        old_path: str,
        path: str,
        content: bytes | str | BlobRef,
        *,
        new_content: bytes | str | BlobRef | None = None,
        old_mode: Mode = REGULAR,
        new_mode: Mode | None = None,
    ) -> Self:
        """Return the move of ``old_path``, whose bytes are ``content``, to ``path``, which must not exist yet."""
        before = _as_content(content)
        after = before if new_content is None else _as_content(new_content)
        return cls(
            operation=Operation.RENAME,
            path=check_path(path),
            old_path=check_path(old_path),
            old_hash=_hash(before),
            old_mode=old_mode,
            new_hash=_hash(after),
            new_mode=new_mode or old_mode,
            content=after if _hash(before) != _hash(after) else None,
        )

    def with_content_at(self, place: BlobRef) -> Self:
        """Return the same change with its content in ``place``, which is not looked at."""
        return self.model_copy(update={"content": place})._slimmed()

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the change touches: the source of a rename first."""
        return (self.path,) if self.old_path is None else (self.old_path, self.path)

    @property
    def new_size(self) -> int | None:
        """Size in bytes of the content that comes with the change, or None when none does."""
        if self.content is None:
            return None
        return self.content.size if isinstance(self.content, BlobRef) else len(self.content)

    def canonical(self) -> dict[str, str | None]:
        """Return the fields that the checksum covers; the content is covered by ``new_hash``."""
        return {  # in the order of the canonical form
            "new_hash": self.new_hash,
            "new_mode": self.new_mode,
            "old_hash": self.old_hash,
            "old_mode": self.old_mode,
            "old_path": None if self.old_path is None else to_wire(self.old_path),
            "operation": str(self.operation),
            "path": to_wire(self.path),
        }


def _as_content(value: bytes | str | BlobRef) -> bytes | BlobRef:
    return value.encode("utf-8") if isinstance(value, str) else value


def _hash(content: bytes | BlobRef) -> str:
    return content.sha256 if isinstance(content, BlobRef) else sha256_hex(content)


class ChangeSet(Strict):
    """An immutable set of file changes with its checksum.

    Build one with :meth:`build`; the constructor takes a checksum as given, so that a tampered set can be
    represented, judged and refused.
    """

    id: Annotated[str, Field(pattern=r"^[a-z]+_[0-9A-Za-z]{1,64}$")]
    plan_id: Annotated[str, Field(pattern=r"^[a-z]+_[0-9A-Za-z]{1,64}$")]
    changes: Annotated[tuple[FileChange, ...], LongTuple]
    checksum: Hash
    generated_by: Annotated[str, Field(min_length=1, max_length=200)]
    generated_at: Instant

    @model_validator(mode="after")
    def _check_set(self) -> Self:
        check_changes(self.changes)
        return self

    @classmethod
    def build(
        cls,
        *,
        plan_id: str,
        changes: Iterable[FileChange],
        generated_by: str = "lonelycat",
        id: str | None = None,
        generated_at: datetime | None = None,
    ) -> Self:
        """Return a change set with a fresh id, the present time and the true checksum."""
        members = tuple(changes)
        return cls(
            id=id or RandomIds().new("cs"),
            plan_id=plan_id,
            changes=members,
            checksum=checksum_of(members),
            generated_by=generated_by,
            generated_at=generated_at or SystemClock().now(),
        )

    @property
    def is_long(self) -> bool:
        """Whether it has so many changes that memory is worth some milliseconds between the parts of its way."""
        return is_long(self.changes)

    def integrity_error(self) -> str | None:
        """Return what is wrong with the checksum or an inline content's hash, or None if all of it is true.

        Blob contents are hashed by the executor while it copies them.
        """
        for change in self.changes:
            if isinstance(change.content, BlobRef):
                actual: str | None = change.content.sha256
            else:
                actual = None if change.content is None else sha256_hex(change.content)
            if actual is not None and actual != change.new_hash:
                return f"the content of {to_wire(change.path)} does not have the hash that the change set states"
        if checksum_of(self.changes) != self.checksum:
            return "the checksum does not match the changes"
        return None


_LONG = 4000


def is_long(changes: Sequence[FileChange]) -> bool:
    """Tell whether there are so many ``changes`` that memory is worth some milliseconds."""
    return len(changes) >= _LONG


def checksum_of(changes: Sequence[FileChange]) -> str:
    """Return the SHA-256 over the RFC 8785 form of the changes."""
    return flat_digest(change.canonical() for change in changes)


def check_changes(changes: Sequence[FileChange], limits: Limits | None = None) -> None:
    """Check the changes against each other.

    Raises:
        InputError: ``CHANGESET_EMPTY``, ``TOO_MANY_CHANGES``, ``PATH_DUPLICATE``, ``PATH_TWIN`` or ``PATH_PREFIX``.
    """
    caps = limits or Limits()
    if not changes:
        raise InputError("CHANGESET_EMPTY", "the change set changes nothing", "Add at least one file change.")
    if len(changes) > caps.max_changes:
        raise InputError("TOO_MANY_CHANGES", f"over {caps.max_changes} changes", "Split the change set.")
    seen: set[str] = set()
    for change in changes:
        for path in change.paths:
            if path in seen:
                raise InputError(
                    "PATH_DUPLICATE", f"path {to_wire(path)} stands twice in the change set", "Merge the two changes."
                )
            seen.add(path)
    check_names(change.path for change in changes if change.operation is not Operation.DELETE)
