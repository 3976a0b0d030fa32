"""The process that fuzzes: ``python -m tests.fuzz.fuzzer TARGET LIBFUZZER-OPTIONS``; started by ``tests.fuzz``.

The code under test is instrumented as it is imported, so nothing of it may be imported before.
"""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Fuzz until the time is up, or something is found; does not return."""
    name = sys.argv[1]
    with atheris.instrument_imports(include=["lonelycat"], enable_loader_override=False):
        from tests.fuzz.targets import load

        target = load(name)
        for data in target.seeds():  # whatever is imported late is imported now
            target.check(data)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
