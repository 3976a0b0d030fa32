"""One change set with every kind of change in it, and the workspace that it is made against."""

from __future__ import annotations

from tests.acceptance.ground import Ground

from lonelycat import FileChange

BINARY = bytes(range(256)) * 4


def prepare(ground: Ground) -> None:
    """Write what the change set expects: modes and links and directories included. Call before ``begin``."""
    ground.write({"app/settings.txt": "old\n", "app/same.txt": "untouched\n", "data/raw.bin": BINARY})
    ground.write({"app/private.txt": "kept to its owner\n"}, mode=0o600)
    ground.write({"bin/run.sh": "#!/bin/sh\n"}, mode=0o755)
    ground.write({"bin/plain.sh": "#!/bin/sh\necho plain\n"}, mode=0o644)
    ground.write({"lonely/room/only.txt": "alone\n", "lonely/moved.txt": "moves\n"})
    ground.write({"becomes/directory": "a file\n", "becomes/file/inner.txt": "in a directory\n"})
    (ground.root / "lonely/room").chmod(0o750)
    (ground.root / "becomes/file").chmod(0o700)
    (ground.root / "link").symlink_to("app/settings.txt")
    (ground.root / "broken").symlink_to("nowhere at all")
    (ground.root / "turns").symlink_to("app/same.txt")


def changes() -> list[FileChange]:
    """Return the changes."""
    return [
        FileChange.update("app/settings.txt", "old\n", "new\n"),
        FileChange.update("app/private.txt", "kept to its owner\n", "still\n"),
        FileChange.update("data/raw.bin", BINARY, BINARY[::-1]),
        FileChange.update("bin/run.sh", "#!/bin/sh\n", "#!/bin/sh\n", old_mode="100755", new_mode="100644"),
        FileChange.rename("bin/plain.sh", "bin/exec.sh", "#!/bin/sh\necho plain\n", new_mode="100755"),
        FileChange.rename("lonely/moved.txt", "made/deep/below/moved.txt", "moves\n", new_content="moved\n"),
        FileChange.delete("lonely/room/only.txt", "alone\n"),
        FileChange.delete("becomes/directory", "a file\n"),
        FileChange.create("becomes/directory/now.txt", "in a directory now\n"),
        FileChange.delete("becomes/file/inner.txt", "in a directory\n"),
        FileChange.create("becomes/file", "a file now\n"),
        FileChange.update("link", "app/settings.txt", "app/same.txt", old_mode="120000"),
        FileChange.delete("broken", "nowhere at all", mode="120000"),
        FileChange.update("turns", "app/same.txt", "a file\n", old_mode="120000", new_mode="100644"),
        FileChange.create("made/link", "deep", mode="120000"),
        FileChange.create("made/tool", "#!/bin/sh\n", mode="100755"),
    ]


APPLIED = "pathlib.Path('made/deep/below/moved.txt').read_text() == 'moved\\n' and not os.path.lexists('broken')"
"""An expression in the workspace: whether the change set is in place."""
