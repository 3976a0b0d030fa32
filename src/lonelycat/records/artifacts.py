"""The files that one execution leaves.

Invariants:
- Directories are 0700 and files 0600; nothing is opened through a symbolic link.
- Everything is redacted before it is written.
- A document appears complete or not at all (temporary file, then rename); events and logs are appended to.
- Durable is what was there at the last :meth:`ArtifactDirectory.settle`. The receipt gets its name only when all that
  it states the digests of is durable: after a power cut an artifact that was lost must not look like an edit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path

from pydantic_core import from_json, to_json

from lonelycat.changes.digest import FlatRows, plain_json
from lonelycat.changes.long_json import json_parts, put_together
from lonelycat.durable import make_durable
from lonelycat.errors import InputError, StateError
from lonelycat.platforms import native_calls
from lonelycat.records.blobs import write_all
from lonelycat.records.keys import private_directory
from lonelycat.records.redaction import Redactor

RECEIPT = "receipt.json"
EVENTS = "events.jsonl"
_EXECUTION_ID = re.compile(r"[a-z]+_[0-9A-Za-z]{1,64}", re.ASCII)
_NAME = re.compile(r"(?:steps/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")

_NOT_A_FILE = frozenset({None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EACCES})
"""What opening a file says when there is none that may be read; None for what was no regular file."""

_ITEMS = 1000
"""How many items of a long list are made, redacted and written at a time."""
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, check_circular=False, separators=(",", ":"))
_INDENTED_UP_TO = 16 * 1024
"""A longer document is for programs; indenting it takes thirty times as long as writing it."""


class Document:
    """A file that is written part by part, in few calls.

    Args:
        descriptor: where it goes.
        redactor: masks secrets in each part, or None for what is written as it is.
    """

    _BYTES_AT_ONCE = 256 * 1024

    def __init__(self, descriptor: int, redactor: Redactor | None) -> None:
        self._descriptor = descriptor
        self._redactor = redactor
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Append ``part``."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= self._BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was held back so far."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        write_all(self._descriptor, data if self._redactor is None else self._redactor.bytes(data))


class ArtifactDirectory:
    """``executions/<execution_id>``; made at the first write.

    Args:
        executions_dir: the directory of all executions' directories.
        redactor: masks secrets; one that knows the values of the environment that checks were given.

    Raises:
        InputError: ``EXECUTION_ID_INVALID``.
    """

    def __init__(self, executions_dir: Path, execution_id: str, *, redactor: Redactor | None = None) -> None:
        if not _EXECUTION_ID.fullmatch(execution_id):
            raise InputError(
                "EXECUTION_ID_INVALID", f"{execution_id[:80]!r} is not an execution id", "It looks like exec_01j…"
            )
        self.execution_id = execution_id
        self.path = executions_dir / execution_id
        self._redactor = redactor or Redactor()
        self._made = False
        self._noted: dict[str, str] = {}

    def exists(self) -> bool:
        """Tell whether anything was written yet."""
        return self.path.is_dir() and not self.path.is_symlink()

    def write_json(self, name: str, value: object) -> None:
        """Write the JSON-compatible ``value``, redacted, as an indented document."""
        self._write(name, json_document(self._redactor.json(value)))

    def write_long_json(
        self, name: str, document: dict[str, object], member: str, rows: Iterable[dict[str, str | None]]
    ) -> None:
        """Write ``document`` with ``rows`` as its list ``member``, as :meth:`write_json` would, some at a time.

        Args:
            rows: such as :class:`~lonelycat.changes.digest.FlatRows` may hold.
        """
        remaining = iter(rows)
        some = FlatRows(islice(remaining, _ITEMS))
        if len(some) < _ITEMS:
            self.write_json(name, {**document, member: some})
            return
        with self.writing(name, verbatim=True) as part:  # what is written is redacted here
            shown = {key: _dumps(self._redactor.json({key: value}))[1:-1] for key, value in document.items()}
            part.add(b"{" + b"".join(shown[key] + b"," for key in sorted(shown) if key < member))
            part.add(_dumps(member) + b":[")
            while some:
                part.add(_dumps(self._redactor.json(some))[1:-1])
                some = FlatRows(islice(remaining, _ITEMS))
                part.add(b"," if some else b"]")
            part.add(b"".join(b"," + shown[key] for key in sorted(shown) if key > member) + b"}\n")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write ``data``, redacted."""
        self._write(name, self._redactor.bytes(data))

    def write_verbatim(self, name: str, data: bytes) -> None:
        """Write ``data`` as it is: what is private to the user like the workspace's own files."""
        self._write(name, data)

    @contextlib.contextmanager
    def writing(self, name: str, *, verbatim: bool = False) -> Iterator[Document]:
        """Yield a document to be written part by part; it gets its name at the end of the block.

        Args:
            verbatim: as for :meth:`write_verbatim`; otherwise each part is redacted, and no secret spans two.
        """
        with self._unfinished(name) as (folder, part, descriptor):
            document = Document(descriptor, None if verbatim else self._redactor)
            yield document
            document.flush()
            os.rename(part, name.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder)

    def settle(self) -> None:
        """Make every artifact durable, with its name and all directories above; one barrier, whatever their number."""
        with self._open_folder(RECEIPT) as folder:
            make_durable(native_calls(), folder, self._all_open)

    def _all_open(self) -> Iterator[int]:
        """Yield every file, then every directory from ``steps`` up to the state's, each open until the next."""
        for name in self.names():
            if _NAME.fullmatch(name) and not (self.path / name).is_symlink():  # else nothing that was written here
                with self._open_file(name, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
                    yield descriptor
        for place in (self.path / "steps", self.path, *list(self.path.parents)[:2]):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    yield descriptor
                finally:
                    os.close(descriptor)

    def device(self) -> int:
        """Return the device number of the file system that holds the artifacts."""
        return self.path.stat().st_dev

    def seal(self, parts: Iterable[bytes]) -> None:
        """Write the receipt, which was redacted already and is signed byte for byte, and make everything durable."""
        with self._unfinished(RECEIPT) as (folder, part, descriptor):
            for data in parts:
                write_all(descriptor, data)
            make_durable(native_calls(), descriptor, self._all_open)
            try:
                os.rename(part, RECEIPT, src_dir_fd=folder, dst_dir_fd=folder)
                native_calls().fsync(folder)
            except BaseException:
                # A receipt that may not be durable goes too: what is noted of that changes what it speaks of.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(RECEIPT, dir_fd=folder)
                raise

    def append_event(self, event: dict[str, object]) -> None:
        """Append one line to ``events.jsonl``, redacted, in one write."""
        line = _dumps(self._redactor.json(event), b"\n")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with self._open_file(EVENTS, flags) as descriptor:
            write_all(descriptor, line)

    def step_log(self, index: int, name: str, data: bytes) -> str:
        """Write a step's log, redacted, and return its name below ``steps/``."""
        log = f"{index:02d}_{_UNUSUAL.sub('_', name)[:60] or 'step'}.log"
        self._write(f"steps/{log}", self._redactor.bytes(data))
        return log

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            InputError: ``ARTIFACT_MISSING``.
            OSError: it is there, but the disk or this process fails to read it now.
        """
        with self._reading(name) as file:
            return file.read()

    def _digest(self, name: str) -> str:
        with self._reading(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[BufferedReader]:
        try:
            with self._open_file(name, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise FileNotFoundError(name)
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    yield file
        except OSError as error:
            if error.errno not in _NOT_A_FILE:
                raise
            raise InputError(
                "ARTIFACT_MISSING", f"{self.execution_id} has no {name}", "It may have been removed by `lonelycat gc`."
            ) from error

    def names(self) -> tuple[str, ...]:
        """Return the names of all files, relative to the directory, sorted; whatever they are."""
        if not self.exists():
            return ()
        found = [p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_symlink() or not p.is_dir()]
        return tuple(sorted(found))

    def note_digests(self) -> None:
        """Take the digests of all that is complete by now, for :meth:`digests` to go by, whatever is edited later.

        What this object writes under such a name again is looked at anew.
        """
        for name in self.names():
            if name != EVENTS:
                with contextlib.suppress(InputError, OSError):  # told, or tried again, by whoever needs it
                    self._noted[name] = self._digest(name)

    def digests(self, *, as_noted: bool = False) -> dict[str, str]:
        """Return the SHA-256 of every file but the receipt; ``unreadable`` for what is not a regular file.

        Args:
            as_noted: go by what :meth:`note_digests` found, where it did; only for stating, not for verifying.
        """
        noted = self._noted if as_noted else {}
        result: dict[str, str] = {}
        for name in self.names():
            if name != RECEIPT:
                try:
                    result[name] = noted.get(name) or self._digest(name)
                except InputError:
                    result[name] = "unreadable"
        return result

    def _write(self, name: str, data: bytes) -> None:
        with self.writing(name, verbatim=True) as document:
            document.add(data)

    @contextlib.contextmanager
    def _unfinished(self, name: str) -> Iterator[tuple[int, str, int]]:
        """Yield (directory, name in it, descriptor) of a new file, which goes if the block raises."""
        part = f"unfinished-{secrets.token_hex(8)}"
        self._noted.pop(name, None)
        with self._open_folder(name) as folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(part, flags, 0o600, dir_fd=folder)
            try:
                yield folder, part, descriptor
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=folder)
                raise
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _open_file(self, name: str, flags: int) -> Iterator[int]:
        with self._open_folder(name, make=bool(flags & os.O_CREAT)) as folder:
            descriptor = os.open(name.rpartition("/")[2], flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _open_folder(self, name: str, *, make: bool = True) -> Iterator[int]:
        if not _NAME.fullmatch(name):
            raise InputError("ARTIFACT_NAME", f"{name[:80]!r} is not an artifact's name", "Use a plain file name.")
        if make and not self._made:
            private_directory(self.path.parent)
            private_directory(self.path)
            self._made = True
        folder = self.path
        if name.startswith("steps/"):
            folder = self.path / "steps"
            if make:
                private_directory(folder)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except NotADirectoryError as error:
            raise StateError(
                "STATE_DIRECTORY_UNSAFE", f"{folder} is not a directory of its own", "Find out who replaced it."
            ) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def json_document(value: object) -> bytes:
    """Return the JSON-compatible ``value`` as a document: indented, for people, unless it is long."""
    return put_together(document_parts(value))


def document_parts(value: object) -> Iterator[bytes]:
    """Yield :func:`json_document` in parts where it is long."""
    parts, ahead, size = json_parts(value, _encode, sort=True), list[bytes](), 0
    for part in parts:
        ahead.append(part)
        size += len(part)
        if size > _INDENTED_UP_TO:
            yield from chain(ahead, parts, (b"\n",))
            return
    yield to_json(from_json(b"".join(ahead)), indent=2) + b"\n"  # in a fifth of the time of the standard library's


def _dumps(value: object, after: bytes = b"") -> bytes:
    """Return ``value`` without white space and with sorted keys."""
    return put_together(chain(json_parts(value, _encode, sort=True), (after,)))


def _encode(value: object) -> bytes:
    """Encode by pydantic's encoder where that writes it as the standard library's does."""
    try:
        return plain_json(value)
    except (TypeError, ValueError):
        return _ENCODER.encode(value).encode("utf-8")
