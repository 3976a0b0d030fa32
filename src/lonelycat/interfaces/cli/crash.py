"""Where the traceback of an unexpected error goes: a private file, never a terminal."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from lonelycat.settings import Settings
from lonelycat.version import __version__


def write_crash_file(error: BaseException, workspace: Path | None = None) -> str | None:
    """Write the traceback of ``error`` to a new file readable by its owner only.

    It goes below the state directory of ``workspace`` if that exists, else to the temporary directory.

    Returns:
        The file's path, or None if it could not be written anywhere.
    """
    head = f"lonelycat {__version__}, Python {sys.version.split()[0]}, {datetime.now(UTC).isoformat()}\n\n"
    text = head + _redacted_traceback(error)
    for directory in (_state_directory(workspace), None):
        try:
            descriptor, name = tempfile.mkstemp(prefix="lonelycat-crash-", suffix=".txt", dir=directory)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return name
    return None


def _state_directory(workspace: Path | None) -> Path | None:
    try:
        state = Settings.for_workspace(workspace or Path.cwd()).state_dir
        return state if state.is_dir() else None
    except (OSError, ValueError):
        return None


def _redacted_traceback(error: BaseException) -> str:
    """Return the traceback without secrets; without any message if the redaction itself fails."""
    try:
        from lonelycat.records.redaction import redact_text

        return redact_text("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 (a defect in the report of a defect must not hide the first one)
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}{type(error).__name__} (its message is left out: it could not be searched for secrets)\n"
