"""Reads anew which commits the tags of the actions and hooks that LonelyCat ships point to, or of more of them.

``make known-pins FROM=https://github.com``, before a release; ``python docs/known_pins.py PLACE [OWNER/NAME ...]``.

A repository that cannot be read stays as it was, and is said. What is taken up is trusted by every workspace whose
``init`` had no network: only actions and hooks that very many use, and none whose tags were ever moved by a stranger.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lonelycat.governance.bumps.known_pins import render
from lonelycat.runtime.pin_reading import see_pins
from lonelycat.runtime.pinning import shipped_pins

PLACE = Path(__file__).resolve().parents[1] / "src/lonelycat/data/known_pins.json"


def main(place: str, more: list[str]) -> int:
    """Write the file; return 1 when a repository could not be read."""
    before = shipped_pins() if PLACE.exists() else {}
    seen = see_pins({*before, *more}, base=place, seconds=1200)
    PLACE.write_bytes(render({**before, **seen.tags}))
    for repository, error in seen.unseen.items():
        sys.stderr.write(f"{repository} stays as it was: {error.message}\n")
    sys.stdout.write(f"{len(seen.tags)} repositories read, {sum(map(len, seen.tags.values()))} tags\n")
    return 1 if seen.unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
