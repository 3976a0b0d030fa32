"""Proposals that have come to their end: nobody executes or rebases them any more."""

from __future__ import annotations

from lonelycat.errors import RefusedError
from lonelycat.records.entries import Proposal


def refuse_ended(proposal: Proposal) -> None:
    """Refuse a proposal that a person said no to, or whose contents were not kept.

    Raises:
        RefusedError: ``PLAN_REJECTED`` or ``CONTENT_NOT_KEPT``.
    """
    if proposal.rejected_by is not None:
        raise RefusedError(
            "PLAN_REJECTED", f"{proposal.rejected_by} said no: {proposal.note}", "Propose another change."
        )
    refuse_redacted(proposal)


def refuse_redacted(proposal: Proposal) -> None:
    """Refuse a proposal whose contents were not kept.

    Raises:
        RefusedError: ``CONTENT_NOT_KEPT``.
    """
    if proposal.redacted:
        raise RefusedError(
            "CONTENT_NOT_KEPT",
            "the change was denied for a secret in it, and its contents were not kept",
            "Propose it again without the secret.",
        )
