"""Everything that can be set from outside, in one frozen object; the only reader of the environment.

Invariant: limits have names and units here and nowhere else. What a *policy* decides is not a setting.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

STATE_DIRECTORY = ".lonelycat"
DEFAULT_POLICY_PATH = "agent/policies/default.yaml"
WORKFLOW_PATH = "agent/workflows/execute_changeset.md"


class Limits(NamedTuple):
    """Hard limits that hold under every policy; over a limit is a refusal, never a shortcut."""

    max_input_bytes: int = 256 * 1024 * 1024
    """Largest patch or JSON document read, in bytes."""
    max_json_depth: int = 64
    """Deepest nesting of a JSON document."""
    max_changes: int = 100_000
    """Most file changes in one change set."""
    max_policy_bytes: int = 1024 * 1024
    """Largest policy file, in bytes."""
    inline_bytes: int = 64 * 1024
    """A file's content above this many bytes is stored as a blob, not in JSON."""
    chunk_bytes: int = 1024 * 1024
    """How much of a large file is in memory at once."""
    max_output_bytes: int = 1024 * 1024
    """How much of one check's output is kept: the first and the last half."""
    rollback_seconds: float = 300.0
    """Time limit of a rollback, its restarts and its health checks, apart from the execution's own."""


class Settings(NamedTuple):
    """What one process was told from outside.

    Attributes:
        workspace: root of the governed directory tree, absolute.
        state_dir: where ``lonelycat.db``, ``keys/``, ``blobs/`` and ``executions/`` live; ``locks/`` and ``tx/``
            always live in ``<workspace>/.lonelycat`` because they must share the workspace's filesystem.
        policy_path: the policy file, absolute.
        database_url: SQLAlchemy URL, or None for SQLite in ``state_dir``.
        approver_key: file with an approver's private key, or None.
        user: the name of the operating-system user, for the records.
        limits: the hard limits.
    """

    workspace: Path
    state_dir: Path
    policy_path: Path
    database_url: str | None = None
    approver_key: Path | None = None
    user: str = "unknown"
    limits: Limits = Limits()

    @property
    def local_dir(self) -> Path:
        """``<workspace>/.lonelycat``: the part of the state that must lie on the workspace's filesystem."""
        return self.workspace / STATE_DIRECTORY

    @property
    def policy_name(self) -> str | None:
        """The policy file's workspace-relative path, or None when it lies outside."""
        if not self.policy_path.is_relative_to(self.workspace):
            return None
        return self.policy_path.relative_to(self.workspace).as_posix()

    @classmethod
    def for_workspace(cls, workspace: Path | str, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings for ``workspace`` from ``environment`` (the process's own by default).

        Variables: ``LONELYCAT_STATE_DIR``, ``LONELYCAT_POLICY``, ``LONELYCAT_DATABASE_URL``,
        ``LONELYCAT_APPROVER_KEY``.
        """
        env = os.environ if environment is None else environment
        root = Path(workspace).resolve()
        state = env.get("LONELYCAT_STATE_DIR")
        policy = env.get("LONELYCAT_POLICY")
        key = env.get("LONELYCAT_APPROVER_KEY")
        return cls(
            workspace=root,
            state_dir=Path(state).resolve() if state else root / STATE_DIRECTORY,
            policy_path=Path(os.path.normpath(root / (policy or DEFAULT_POLICY_PATH))),
            database_url=env.get("LONELYCAT_DATABASE_URL") or None,
            approver_key=Path(key).expanduser() if key else None,
            user=env.get("SUDO_USER") or env.get("USER") or env.get("LOGNAME") or _account(),
        )


def _account() -> str:
    """Return the name of the account that the process runs as, or its number where it has no name."""
    try:
        import pwd
    except ImportError:  # Windows, where only the refusal needs settings
        return "unknown"
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def child_environment(extra: Mapping[str, str], passed: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the scrubbed environment that checks and restarts run with.

    Only ``PATH``, ``HOME``, ``LANG``, ``LC_ALL``, ``TZ``, ``TMPDIR``, ``VIRTUAL_ENV`` and the names in ``passed``
    come from the process; ``extra`` goes on top.
    """
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", *passed)
    return {**{name: os.environ[name] for name in names if name in os.environ}, **extra}


def secret_values(names: Iterable[str]) -> dict[str, str]:
    """Return the values of the environment variables ``names`` that are set, for a health check that names them."""
    return {name: os.environ[name] for name in names if name in os.environ}


def skip_model_plugins() -> None:
    """Keep pydantic from searching every installed distribution for plugins: a third of its start-up time.

    For the command line, before anything imports pydantic; a library leaves its host's settings alone.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
