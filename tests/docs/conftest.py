"""What the tests of the documentation share: the pages, and a reader's machine with a small repository on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent

FILES = {
    "README.md": "# Shop\n\nA small shop.\n",
    "app/__init__.py": 'def greeting(name):\n    return f"Hello, {name}!"\n',
    "app/prices.json": '{"fish": 3}\n',
    "tests/test_greeting.py": (
        "import unittest\n\nfrom app import greeting\n\n\n"
        "class Greeting(unittest.TestCase):\n"
        "    def test_it_names_the_visitor(self):\n"
        '        self.assertEqual(greeting("Ada"), "Hello, Ada!")\n'
    ),
    "tests/__init__.py": "",
}


def make_shop(home: Path) -> Path:
    """Make the repository ``shop`` in the reader's home directory and return it."""
    for name, text in FILES.items():
        place = home / "shop" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    git = ["git", "-C", str(home / "shop")]
    environment = reader_environment(home)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "A small shop"]):
        subprocess.run([*git, *command], env=environment, check=True)
    return home / "shop"


def reader_environment(home: Path) -> dict[str, str]:
    """Return the environment of the reader: this project's programs first, nothing of the machine's settings."""
    return {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "USER": "ada",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "init.defaultBranch",
        "GIT_CONFIG_VALUE_0": "main",
    }
