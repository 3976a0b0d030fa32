"""What is told in the place of a name with a credential is sound, and tells no credential."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lonelycat.changes.paths import check_names, check_path, fold
from lonelycat.errors import PathError
from lonelycat.governance.secret_names import told_paths
from lonelycat.governance.secrets import find_secrets, masked

TOKENS = ("ghp_" + "q7Rz0Lx4Kd9Wm2Ty6Vb1Nc8Pf3Hj5Gs0Ua4E", "ghp_" + "Z3xW8vB2nM5kJ7hG1fD4sA6pQ9rT0yU2iO4e")
PARTS = (*TOKENS, "AKIAQ7RZ2LX4KD6WM2TY", "[REDACTED-github-token]", "[redacted-name-1]", "a", "A", "b.md", "x" * 240)


def _is_sound(paths: set[str]) -> bool:
    try:
        check_names(map(check_path, sorted(paths)))
    except PathError:
        return False
    return True


@given(st.sets(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join), min_size=1, max_size=5))
def test_told_paths_are_as_sound_and_as_different_as_the_paths(paths: set[str]) -> None:
    told = told_paths(sorted(paths))
    assert set(told) == paths
    assert not find_secrets("\n".join(told.values()).encode())
    assert all(told[path] == path for path in paths if not find_secrets(path.encode()))
    if _is_sound(paths):
        assert len({fold(path) for path in told.values()}) == len(paths)
        assert _is_sound(set(told.values())), told


@given(st.text(st.characters() | st.sampled_from("\ud800\udc80\udfff"), max_size=30))
def test_text_without_a_credential_is_the_very_same(text: str) -> None:
    assert masked(text) is text
    assert TOKENS[0] not in masked(f"{text} {TOKENS[0]} {text}")
