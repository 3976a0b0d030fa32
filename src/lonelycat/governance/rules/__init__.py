"""The rule families, one file each, in the order in which they run.

``RAISING`` families look at the change as proposed and may raise the risk; ``BY_RISK`` families ask for what the
effective risk demands. Pure.
"""

from __future__ import annotations

from lonelycat.governance.rules import bounds, content, integrity, requirements, review, weakened_tests, windows
from lonelycat.governance.rules.base import Rule

RAISING: tuple[Rule, ...] = (
    integrity.judge,
    bounds.judge,
    review.judge,
    content.judge,
    weakened_tests.judge,
    windows.judge,
)
BY_RISK: tuple[Rule, ...] = (requirements.judge,)
