"""What every kind of health check promises, as tests that its author runs against it.

In the author's own tests, with the service that the kind asks running::

    @pytest.mark.parametrize("test", contract(Subject("mykind", passing={...}, failing={...}, reaching=...)), ids=str)
    def test_contract(test):
        test()

Nothing here needs pytest: a test is called, and raises :class:`ConformanceError` (an AssertionError) when the kind
breaks a promise. The kind is looked up by its name, so it has to be installed: its entry point is tested too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lonelycat.checks.health.checker import HealthChecker
from lonelycat.checks.health.registry import health_kind, validate_health_check
from lonelycat.checks.result import CheckResult
from lonelycat.clock import SystemClock
from lonelycat.errors import PolicyError
from lonelycat.governance.policy_profiles import HealthCheck
from lonelycat.settings import Limits, secret_values

Parameters = Mapping[str, Any]

_CODE = re.compile(r"HEALTH_[A-Z0-9]+(_[A-Z0-9]+)*")
_GRACE_SECONDS = 1.5
"""How much longer than its limit a check may take: the end of its process, on a busy machine."""

_SETTLING_SECONDS = 3.0
"""How long what a probe started may still be seen after its answer."""


class ConformanceError(AssertionError):
    """The kind broke a promise; the text says which, and what was seen."""


@dataclass(frozen=True)
class Subject:
    """A kind, and what it takes to see it pass, fail and hang.

    Attributes:
        kind: the name that it is installed under.
        passing: parameters with which it passes now.
        failing: parameters with which it fails now.
        reaching: parameters that make it ask a server at ``127.0.0.1`` and the port given; None for a kind that asks
            no server.
        secrets: what must be in no answer; the values of the variables that it names are added.
        workspace: root of the governed tree that it looks at; an empty one by default.
        seconds: time limit of one check. A kind that hangs takes this long several times.
    """

    kind: str
    passing: Parameters
    failing: Parameters
    reaching: Callable[[int], Parameters] | None = None
    secrets: Sequence[str] = field(default=())
    workspace: Path | None = None
    seconds: float = 3.0

    @contextlib.contextmanager
    def ground(self) -> Iterator[_Ground]:
        """Yield what runs the checks."""
        with contextlib.ExitStack() as stack:
            root = self.workspace
            if root is None:
                root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lonelycat-conformance-")))
            yield _Ground(self, HealthChecker(root, SystemClock(), Limits()), root)


class _Ground:
    def __init__(self, subject: Subject, checker: HealthChecker, root: Path) -> None:
        self.subject, self.checker, self.root = subject, checker, root

    def check(self, parameters: Parameters) -> HealthCheck:
        fields = {"kind": self.subject.kind, "with": dict(parameters), "timeout": self.subject.seconds, "attempts": 1}
        return HealthCheck.model_validate(fields)

    def ask(self, parameters: Parameters) -> CheckResult:
        """Note what the check compares with, as before a change, and ask it once; hold the answer to its form."""
        check, limit = self.check(parameters), self.subject.seconds
        clock = SystemClock()
        mark = None
        with contextlib.suppress(Exception):  # where it cannot be noted, the check fails for want of it
            mark = self.checker.mark("conformance", check, limit)
        begun = clock.monotonic()
        seen = self.checker.run("conformance", check, limit, mark)
        took = clock.monotonic() - begun
        _hold(took <= limit + _GRACE_SECONDS, f"it took {took:.1f} s with a limit of {limit:g} s", seen)
        _hold(seen.code != "HEALTH_CRASHED", "the probe raised, or died", seen)
        return seen

    def secrets(self) -> list[str]:
        kind = health_kind(self.subject.kind)
        known = list(self.subject.secrets)
        for parameters in (self.subject.passing, self.subject.failing):
            validated = validate_health_check("conformance", self.check(parameters))
            known += secret_values(kind.variables(validated)).values()
        return known


@dataclass(frozen=True)
class ContractTest:
    """One promise; calling it raises :class:`ConformanceError` when the kind breaks it."""

    name: str
    subject: Subject
    body: Callable[[_Ground], None]

    def __call__(self) -> None:
        with self.subject.ground() as ground:
            self.body(ground)

    def __str__(self) -> str:
        return f"{self.subject.kind}-{self.name}"


def contract(subject: Subject) -> tuple[ContractTest, ...]:
    """Return the tests of everything that the kind of ``subject`` promises."""
    bodies = (*_PROMISES, *(_OF_SERVERS if subject.reaching is not None else ()))
    return tuple(ContractTest(body.__name__.strip("_"), subject, body) for body in bodies)


def _hold(holds: bool, what: str, seen: object = "") -> None:
    if not holds:
        raise ConformanceError(f"{what}: {seen!r:.800}" if seen != "" else what)


# -- the promises ------------------------------------------------------------------------------------------------


def _passes_when_it_should(ground: _Ground) -> None:
    seen = ground.ask(ground.subject.passing)
    _hold(seen.ok and seen.code is None, "the passing case does not pass", seen)


def _fails_with_a_code(ground: _Ground) -> None:
    seen = ground.ask(ground.subject.failing)
    _hold(not seen.ok, "the failing case passes", seen)
    _hold(bool(seen.code and _CODE.fullmatch(seen.code)), "the code is not HEALTH_ and upper-case words", seen)
    _hold(bool(seen.message.strip()), "it fails without saying why", seen)


def _fails_the_same_way_each_time(ground: _Ground) -> None:
    answers = [ground.ask(ground.subject.failing) for _ in range(2)]
    first, second = ((seen.code, re.sub(r"[\d.]+", "0", seen.message)) for seen in answers)  # times may differ
    _hold(first == second, f"it says one thing and then another: {first} and {second}")


def _refuses_what_it_does_not_know(ground: _Ground) -> None:
    for parameters in ({**ground.subject.passing, "no-such-parameter": 1}, {"no-such-parameter": 1}):
        try:
            validate_health_check("conformance", ground.check(parameters))
        except PolicyError as error:
            _hold(error.code == "HEALTH_PARAMETERS", "it refuses an unknown parameter in a way of its own", error)
        else:
            raise ConformanceError("it takes a parameter that it does not know")


def _answers_in_json(ground: _Ground) -> None:
    for parameters in (ground.subject.passing, ground.subject.failing):
        seen = ground.ask(parameters)
        try:
            json.dumps(seen.details, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConformanceError(f"its details are not JSON: {error}") from error
        said: tuple[object, object] = (seen.message, seen.output)  # whatever the types promise, it may be otherwise
        _hold(isinstance(said[0], str) and isinstance(said[1], bytes), "message or output is of no use", seen)


def _notes_a_mark_in_json(ground: _Ground) -> None:
    kind = health_kind(ground.subject.kind)
    if kind.take_mark is None:
        return
    check = ground.check(ground.subject.passing)
    mark = ground.checker.mark("conformance", check, ground.subject.seconds)
    try:
        back = json.loads(json.dumps(mark, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConformanceError(f"its mark is not JSON: {error}") from error
    seen = ground.checker.run("conformance", check, ground.subject.seconds, back)
    _hold(seen.ok, "with its mark out of the journal the passing case does not pass", seen)


def _tells_no_secret(ground: _Ground) -> None:
    secrets = [secret for secret in ground.secrets() if len(secret) > 3]
    for parameters in (ground.subject.passing, ground.subject.failing):
        seen = repr(ground.ask(parameters))
        _hold(not any(secret in seen for secret in secrets), "its answer holds a secret")


def _changes_nothing(ground: _Ground) -> None:
    before = _tree(ground.root)
    for parameters in (ground.subject.passing, ground.subject.failing):
        ground.ask(parameters)
    _hold(_tree(ground.root) == before, "it changed the workspace")


def _leaves_nothing_behind(ground: _Ground) -> None:
    ground.ask(ground.subject.passing)  # what is loaded or opened once and kept is no leak
    before = _held()
    cases = [ground.subject.passing, ground.subject.failing]
    with _server(_keep_silent) as port:
        if ground.subject.reaching is not None:
            cases.append(ground.subject.reaching(port))
        for parameters in cases:
            ground.ask(parameters)
    clock = SystemClock()
    until = clock.monotonic() + _SETTLING_SECONDS
    while (left := _more_than(before)) and clock.monotonic() < until:
        clock.sleep(0.02)  # what ends meanwhile, of whomever, is nobody's leak
    for what, these in left.items():
        raise ConformanceError(f"it leaves {what} behind: {sorted(these)!r:.800}")


def _fails_in_time_on_silence(ground: _Ground) -> None:
    _fails_on(ground, _keep_silent)


def _fails_in_time_on_dripping(ground: _Ground) -> None:
    _fails_on(ground, _drip)


def _fails_on_garbage(ground: _Ground) -> None:
    _fails_on(ground, _talk_nonsense)


def _fails_on_nobody(ground: _Ground) -> None:
    reaching = ground.subject.reaching
    assert reaching is not None  # noqa: S101 - of our own caller
    with socket.socket() as taken:  # and does not listen: held meanwhile, so that nobody else begins to
        taken.bind(("127.0.0.1", 0))
        seen = ground.ask(reaching(taken.getsockname()[1]))
    _hold(not seen.ok, "it passes although nobody listens", seen)


_PROMISES: tuple[Callable[[_Ground], None], ...] = (
    _passes_when_it_should,
    _fails_with_a_code,
    _fails_the_same_way_each_time,
    _refuses_what_it_does_not_know,
    _answers_in_json,
    _notes_a_mark_in_json,
    _tells_no_secret,
    _changes_nothing,
    _leaves_nothing_behind,
)
_OF_SERVERS: tuple[Callable[[_Ground], None], ...] = (
    _fails_in_time_on_silence,
    _fails_in_time_on_dripping,
    _fails_on_garbage,
    _fails_on_nobody,
)


# -- servers that are no use, and what is looked at --------------------------------------------------------------


def _fails_on(ground: _Ground, behaviour: Callable[[socket.socket, threading.Event], None]) -> None:
    reaching = ground.subject.reaching
    assert reaching is not None  # noqa: S101 - of our own caller
    with _server(behaviour) as port:
        seen = ground.ask(reaching(port))
    _hold(not seen.ok, "it passes although the server gives no answer", seen)
    _hold(bool(seen.code and _CODE.fullmatch(seen.code)), "the code is not HEALTH_ and upper-case words", seen)


@contextlib.contextmanager
def _server(behaviour: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Accept every connection and do as ``behaviour`` says with it, until the block ends."""
    over = threading.Event()
    handlers: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behaviour(connection, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                thread = threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True)
                handlers.append(thread)
                thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
    for thread in (acceptor, *handlers):
        thread.join(5)


def _keep_silent(_connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def _drip(connection: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        connection.sendall(b"\0")


def _talk_nonsense(connection: socket.socket, _over: threading.Event) -> None:
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        connection.recv(65536)
    connection.sendall(b"\x15\x03nonsense\r\n" * 200)


def _tree(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in root.rglob("*"):
        facts = path.lstat()
        found[str(path)] = (facts.st_mode, facts.st_mtime_ns)
    return found


def _more_than(before: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return what this process holds beyond ``before``."""
    return {what: now - before[what] for what, now in _held().items() if now - before[what]}


def _held() -> dict[str, set[str]]:
    """Return the threads, processes and descriptors of this process."""
    import psutil

    descriptors = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names only
        with contextlib.suppress(OSError):
            descriptors.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")  # noqa: PTH115 - of a descriptor
    return {
        "threads": {f"{thread.name} {thread.ident}" for thread in threading.enumerate()},
        "processes": {str(child.pid) for child in psutil.Process().children(recursive=True)},
        "descriptors": {one for one in descriptors if "/proc/" not in one},
    }
