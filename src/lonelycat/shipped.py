"""The files that the wheel ships: the default policy, the workflow document, and the tags of much used actions."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_IN_A_CHECKOUT = {
    "default.yaml": Path("agent/policies/default.yaml"),
    "execute_changeset.md": Path("agent/workflows/execute_changeset.md"),
}


def shipped_bytes(name: str) -> bytes:
    """Return the bytes of ``default.yaml``, ``execute_changeset.md`` or ``known_pins.json``.

    In a wheel all of them lie in the package's ``data`` folder; in a checkout the first two do in ``agent/``, where the
    project governs itself with them.
    """
    packaged = files("lonelycat").joinpath("data", name)
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).resolve().parents[2] / _IN_A_CHECKOUT[name]).read_bytes()
