"""Edits of CI after which no more can happen than before; one rule each, for one kind of place.

Invariants:
- A rule that is not sure says no.
- What is tested stays tested: versions are added to a list, never taken out of one, but for a preview that has become
  the release. Where one version replaces another, no condition in the file may ask for the old one.
- Rights only go.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lonelycat.governance.bumps.places import ANY, ITEM, Pair, at, scalars
from lonelycat.governance.bumps.plain_yaml import Node, Scalar
from lonelycat.governance.bumps.versions import MAX_MAJORS

MOST_ADDED = 10
"""How many versions may come into a list at once."""
MOST_MINUTES = 360

_LANGUAGES = "python|node|nodejs|go|ruby|java|jdk|php|rust|dotnet|elixir|erlang|otp|perl|julia|deno|bun"
_LANGUAGE_KEY = re.compile(rf"(?:{_LANGUAGES})(?:[-_]?version)?")
_LANGUAGE = re.compile(
    r"(?P<flavour>(?:(?:pypy|graalpy|jruby|truffleruby)-?)?)(?P<numbers>[0-9]{1,3}(?:\.[0-9]{1,3}){0,2})(?P<tail>t|\.x|)"
    r"(?P<preview>(?:-dev|-alpha|-beta|-nightly)?)"
)
_IMAGE = re.compile(
    r"(?P<family>ubuntu|macos|windows)-(?P<numbers>[0-9]{1,4}(?:\.[0-9]{1,2})?)(?P<tail>(?:-arm|-large)?)"
)
_RIGHTS = {"none": 0, "read": 1, "write": 2}
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_DECIDES = re.compile(r"[=!<>&|]|contains|startsWith|endsWith|fromJSON")


class Edit(NamedTuple):
    """One place that differs, with the whole of both documents."""

    pair: Pair
    old_root: Node
    new_root: Node

    @property
    def texts(self) -> tuple[str, str] | None:
        """What stands there, where both are values on one line."""
        old, new = self.pair.old, self.pair.new
        if isinstance(old, Scalar) and isinstance(new, Scalar) and not old.is_block and not new.is_block:
            return old.text, new.text
        return None

    @property
    def key(self) -> str:
        """The last key on the way."""
        return str(self.pair.place[-1]) if self.pair.place else ""

    def action(self) -> str:
        """Return the action of the step that the place is in; "" when it changes or there is none."""
        place = (*self.pair.place[:4], "uses")
        old, new = at(self.old_root, *place), at(self.new_root, *place)
        if isinstance(old, Scalar) and isinstance(new, Scalar):
            names = {old.text.partition("@")[0], new.text.partition("@")[0]}
            return names.pop() if len(names) == 1 else ""
        return ""

    def is_asked_for(self, *words: str) -> bool:
        """Tell whether anything in the file that decides what runs says one of ``words``."""
        return any(
            word in decision
            for place, scalar in scalars(self.old_root)
            for decision in ([scalar.text] if place[-1:] == ("if",) else _EXPRESSION.findall(scalar.text))
            if place[-1:] == ("if",) or _DECIDES.search(decision)
            for word in words
        )


def renames_step(edit: Edit) -> bool:
    """The name of a step, which nothing refers to; expressions in it stay."""
    if not edit.pair.is_at("jobs", ANY, "steps", ITEM, "name") or edit.texts is None:
        return False
    old, new = edit.texts
    return new.isprintable() and set(_EXPRESSION.findall(new)) <= set(_EXPRESSION.findall(old))


def changes_time_limit(edit: Edit) -> bool:
    """How long a job or a step may take."""
    pair = edit.pair
    if not pair.is_at("jobs", ANY, "timeout-minutes") and not pair.is_at("jobs", ANY, "steps", ITEM, "timeout-minutes"):
        return False
    written = [node for node in (pair.old, pair.new) if node is not None]
    return pair.new is not None and all(
        isinstance(node, Scalar)
        and node.is_plain
        and node.text.isascii()
        and node.text.isdecimal()
        and 1 <= int(node.text[:9]) <= MOST_MINUTES
        for node in written
    )


def raises_image(edit: Edit) -> bool:
    """A newer image of the same system, of those that the host itself offers."""
    return edit.pair.is_at("jobs", ANY, "runs-on") and _is_higher(_IMAGE, edit)


def raises_built_image(edit: Edit) -> bool:
    """The same for the documentation's builder."""
    return edit.pair.is_at("build", "os") and _is_higher(_IMAGE, edit)


def raises_built_language(edit: Edit) -> bool:
    """A higher version of the language that documentation is built with."""
    at_tool = edit.pair.is_at("build", "tools", ANY) and _LANGUAGE_KEY.fullmatch(edit.key) is not None
    return at_tool and _is_higher(_LANGUAGE, edit)


def raises_language(edit: Edit) -> bool:
    """A higher version of the language that a step sets up, or that one more entry of a matrix names."""
    if _LANGUAGE_KEY.fullmatch(edit.key) is None:
        return False
    if edit.pair.is_at("jobs", ANY, "steps", ITEM, "with", ANY):
        return edit.action().startswith("actions/setup-") and _is_higher(_LANGUAGE, edit)
    return edit.pair.is_at("jobs", ANY, "strategy", "matrix", "include", ITEM, ANY) and _is_higher(_LANGUAGE, edit)


def extends_matrix(edit: Edit) -> bool:
    """More versions of the language to test with, or newer images to test on."""
    if not edit.pair.is_at("jobs", ANY, "strategy", "matrix", ANY):
        return False
    old, new = _values(edit.pair.old), _values(edit.pair.new)
    if old is None or new is None or not old:
        return False
    if _LANGUAGE_KEY.fullmatch(edit.key):
        return _adds_versions(edit, old, new)
    return edit.key in ("os", "runs-on", "platform") and _newer_images(edit, old, new)


def narrows_rights(edit: Edit) -> bool:
    """Less that the token of a job may do."""
    pair = edit.pair
    if pair.is_at("permissions", ANY) or pair.is_at("jobs", ANY, "permissions", ANY):
        old = pair.old.text if isinstance(pair.old, Scalar) else ""
        new = pair.new.text if isinstance(pair.new, Scalar) else "none" if pair.new is None else ""
        return old in _RIGHTS and new in _RIGHTS and _RIGHTS[new] < _RIGHTS[old]
    if not pair.is_at("permissions") or pair.old is not None or not isinstance(pair.new, dict):
        return False
    return all(
        isinstance(right, Scalar) and (right.text == "none" or (scope, right.text) == ("contents", "read"))
        for scope, right in pair.new.items()
    )


def forgets_credentials(edit: Edit) -> bool:
    """A checkout that does not leave its token behind."""
    if edit.action() != "actions/checkout" or edit.pair.old is not None:
        return False
    new = edit.pair.new
    if edit.pair.is_at("jobs", ANY, "steps", ITEM, "with") and isinstance(new, dict):
        return new.keys() == {"persist-credentials"} and _is_false(new["persist-credentials"])
    return edit.pair.is_at("jobs", ANY, "steps", ITEM, "with", "persist-credentials") and _is_false(new)


WORKFLOW = (
    renames_step, changes_time_limit, raises_image, raises_language, extends_matrix, narrows_rights,
    forgets_credentials,
)  # fmt: skip
DOCUMENTATION = (raises_built_image, raises_built_language)


def _is_false(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.written == "false"


def _values(node: Node | None) -> list[str] | None:
    """Return the texts of a list of values on one line each, or None when it is anything else."""
    if not isinstance(node, list) or not all(isinstance(item, Scalar) and not item.is_block for item in node):
        return None
    return [item.text for item in node]


def _digits(text: str) -> str:
    return text.partition("-")[2] or text


def _numbers(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(number) for number in match["numbers"].split("."))


def _is_higher(form: re.Pattern[str], edit: Edit) -> bool:
    """Tell whether one value replaces a lower one of the same form, and nothing asks for the lower one."""
    if edit.texts is None or not _is_raised(form, *edit.texts):
        return False
    return not edit.is_asked_for(*edit.texts, *(_digits(text) for text in edit.texts), edit.key)


def _is_raised(form: re.Pattern[str], old: str, new: str) -> bool:
    low, high = form.fullmatch(old), form.fullmatch(new)
    if low is None or high is None:
        return False
    same = all(low[name] == high[name] for name in form.groupindex if name != "numbers")
    before, after = _numbers(low), _numbers(high)
    limit = before[0] + MAX_MAJORS if form is _LANGUAGE else after[0]
    return same and len(before) == len(after) and before < after and after[0] <= limit


def _adds_versions(edit: Edit, old: list[str], new: list[str]) -> bool:
    gone = [text for text in old if text not in new]
    come = [text for text in new if text not in old]
    released = all((release := _release(text)) in new and not edit.is_asked_for(release or text) for text in gone)
    return bool(come) and released and len(come) <= MOST_ADDED and all(_LANGUAGE.fullmatch(text) for text in come)


def _release(text: str) -> str | None:
    """Return the version that a preview becomes, or None when it is no preview."""
    match = _LANGUAGE.fullmatch(text)
    return text.removesuffix(match["preview"]) if match and match["preview"] else None


def _newer_images(edit: Edit, old: list[str], new: list[str]) -> bool:
    return len(old) == len(new) and all(
        low == high or (_is_raised(_IMAGE, low, high) and not edit.is_asked_for(high, _digits(low)))
        for low, high in zip(old, new, strict=True)
    )
