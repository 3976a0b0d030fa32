"""Which policy is in force in a workspace, and whether it got there in an accountable way.

Invariants:
- A policy file that is there but cannot be loaded closes the workspace (PolicyError), it is never passed over.
- Where LonelyCat has once seen a policy file, a missing one closes the workspace too. Only a workspace that never had
  one is judged by the policy that LonelyCat ships.
- What is known of the pins of CI lies beside the policy and belongs to it: its hash is part of the policy's.
- The hash of the policy in force is remembered, signed. A file that was changed by anything but an execution of
  LonelyCat is used, but trusted with nothing until a person has approved something under it: the gate holds every
  change (``trusted`` is false).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from lonelycat.changes.strict_json import loads
from lonelycat.durable import sync_file
from lonelycat.errors import LonelyCatError, PolicyError
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.policy_file import LoadedPolicy, load_policy
from lonelycat.governance.policy_profiles import BUILT_IN_HEALTH_KINDS
from lonelycat.governance.signing import Signer, verify_signature
from lonelycat.settings import Settings
from lonelycat.shipped import shipped_bytes

PIN = "policy.json"


class PolicyInForce(NamedTuple):
    """The policy that judges now.

    Attributes:
        loaded: the policy and its hash.
        shipped: it is the one LonelyCat ships, because the workspace has none.
        trusted: the file is the one that was adopted, or the first one seen.
        pinned: a hash was adopted before.
    """

    loaded: LoadedPolicy
    shipped: bool
    trusted: bool
    pinned: bool


def policy_in_force(settings: Settings, gate_public_key: str | None) -> PolicyInForce:
    """Load the workspace's policy.

    Raises:
        PolicyError: the file cannot be read or loaded, or is gone; everything is denied until it is back.
    """
    pin = _read_pin(settings, gate_public_key)
    try:
        data = _read(settings.policy_path, settings.limits.max_policy_bytes)
    except FileNotFoundError as error:
        if pin is None:
            return PolicyInForce(
                load_policy(shipped_bytes("default.yaml"), source="the shipped default"), True, True, False
            )
        raise PolicyError(
            "POLICY_MISSING",
            f"the policy {settings.policy_path} is gone; nothing is allowed until it is back",
            "Restore the file, for example from version control.",
        ) from error
    except OSError as error:
        raise PolicyError(
            "POLICY_UNREADABLE",
            f"the policy {settings.policy_path} cannot be read: {error.strerror}",
            "Make it a plain file that this user can read; nothing is allowed until then.",
        ) from error
    loaded = load_known(data, str(settings.policy_path), _read_pins(settings))
    return PolicyInForce(loaded, False, pin is None or pin == loaded.sha256, pin is not None)


def load_known(data: bytes, source: str, pins: KnownPins | None = None) -> LoadedPolicy:
    """Load a policy whose every health check is of a kind that exists here.

    Raises:
        PolicyError: it cannot be loaded, or ``HEALTH_KIND_UNKNOWN``.
    """
    loaded = load_policy(data, source=source, pins=pins)
    if any(check.kind not in BUILT_IN_HEALTH_KINDS for check in loaded.policy.health_checks.values()):
        from lonelycat.checks.health.registry import check_kinds

        check_kinds(loaded.policy)
    return loaded


def adopt_policy(settings: Settings, sha256: str, by: str, at: str, signer: Signer) -> None:
    """Remember ``sha256`` as the policy that a person stands behind."""
    statement: dict[str, object] = {"type": "policy.adopted", "sha256": sha256, "by": by, "at": at}
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = settings.state_dir / (PIN + ".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps({**statement, "signature": signer.sign(statement)}).encode())
        file.flush()
        sync_file(file.fileno())
    draft.replace(settings.state_dir / PIN)


def _read_pins(settings: Settings) -> KnownPins:
    """Return what is known of tags; what is there and cannot be read closes the workspace, as the policy does.

    Raises:
        PolicyError: ``PINS_UNREADABLE`` or ``PINS_TOO_LARGE``.
    """
    path, most = settings.pins_path, settings.limits.max_pins_bytes
    try:
        data = _read(path, most)
    except FileNotFoundError:
        return KnownPins()
    except OSError as error:
        raise PolicyError(
            "PINS_UNREADABLE", f"the known pins {path} cannot be read: {error.strerror}",
            "Make it a plain file that this user can read, or remove it; nothing is allowed until then.",
        ) from error  # fmt: skip
    if len(data) > most:
        raise PolicyError(
            "PINS_TOO_LARGE", f"the known pins {path} are over {most} bytes", "Let `lonelycat policy pins` write them."
        )
    return KnownPins(data)


def _read(path: Path, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit + 1)


def _read_pin(settings: Settings, gate_public_key: str | None) -> str | None:
    """Return the adopted hash; an unreadable or forged pin matches no policy, so that nothing is trusted."""
    try:
        data = _read(settings.state_dir / PIN, 64 * 1024)
    except FileNotFoundError:
        return None
    except OSError:
        return ""
    try:
        statement = loads(data, what=PIN)
    except LonelyCatError:
        return ""
    signature = statement.pop("signature", None) if isinstance(statement, dict) else None
    if gate_public_key is None or not isinstance(signature, str):
        return ""
    return str(statement.get("sha256")) if verify_signature(gate_public_key, statement, signature) else ""
