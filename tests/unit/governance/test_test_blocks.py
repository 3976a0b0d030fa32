from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lonelycat.governance.test_blocks import REST, split_tests

SOURCE = b"""\
import pytest

@pytest.mark.parametrize(
    "x",
    [1, 2],
)
def test_a(x):
    assert x

class TestB:
    async def test_b(self):
        assert 1

    def test_a(self):
        assert 2
"""


def test_decorators_belong_to_their_test_and_names_are_joined() -> None:
    parts = split_tests(SOURCE)
    assert set(parts) == {REST, b"test_a", b"test_b"}
    assert b"parametrize" in parts[b"test_a"] and b"assert 2" in parts[b"test_a"]
    assert b"import pytest" in parts[REST]


def test_other_languages() -> None:
    assert set(split_tests(b"func TestX(t *testing.T) {\n}\nfunc (s *S) TestY() {\n}\n")) == {REST, b"TestX", b"TestY"}
    assert set(split_tests(b"it('adds', () => {});\ntest.skip(\"x\", f)\nxit('no', f)\n")) == {
        REST,
        b"adds",
        b"x",
        b"no",
    }
    assert set(split_tests(b"#[test]\nfn works() {}\n#[tokio::test]\nasync fn waits() {}\n")) == {
        REST,
        b"works",
        b"waits",
    }


@given(
    st.lists(
        st.sampled_from(
            [b"def test_a():\n", b"    assert 1\n", b"\n", b"@x\n", b"it('b', f)\n", b"#[test]\nfn c() {\n", b"y"]
        )
    )
)
def test_every_byte_belongs_to_one_part(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    parts = split_tests(data)
    assert sorted(b"".join(parts.values())) == sorted(data)
