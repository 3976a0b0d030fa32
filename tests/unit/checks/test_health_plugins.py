"""Kinds from other distributions: really installed, broken, clashing, unknown, and held to the contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import lonelycat

POLICY = """
version: 1
name: plugged
executor: {allowed_paths: ["**"]}
health_checks:
"""
KIND = '''
import os, time
from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import HealthKind, ProbeContext, ProbeResult, failed, passed

class Parameters(Strict):
    """A file that must hold a word."""
    path: str
    word: str = "fine"

def probe(context: ProbeContext, parameters: Parameters, timeout: float) -> ProbeResult:
    said = (context.workspace / parameters.path).read_text() if parameters.path != "hang" else time.sleep(600)
    if parameters.word not in said:
        return failed("HEALTH_WORD_MISSING", f"{parameters.path} does not say {parameters.word}", pid=os.getpid())
    return passed(f"{parameters.path} says {parameters.word}", pid=os.getpid())

KIND = HealthKind(Parameters, probe)
'''
BAD = """
import itertools, json, os, socket, threading, time
from typing import Any
from lonelycat.changes.model import Strict
from lonelycat.checks.health.kind import HealthKind, ProbeResult, failed, passed

class Parameters(Strict):
    good: bool = True
    port: int = 0

ANSWERS = itertools.count()

class Loose(Strict):
    model_config = {"extra": "allow"}
    good: bool = True
    port: int = 0

def answer(parameters, **details):
    return passed("fine", **details) if parameters.good else failed("HEALTH_BAD", "bad", **details)

def always_fine(context, parameters, timeout): return passed("fine")
def never_fine(context, parameters, timeout): return failed("HEALTH_BAD", "bad")
def lower_case(context, parameters, timeout): return passed("fine") if parameters.good else failed("oops", "bad")
def raises(context, parameters, timeout): return passed("fine") if parameters.good else 1 / 0
def not_json(context, parameters, timeout): return answer(parameters, when={1, 2})
def fickle(context, parameters, timeout):
    return passed("fine") if parameters.good else failed("HEALTH_BAD", "bad" + "x" * next(ANSWERS))
def threads(context, parameters, timeout):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return answer(parameters)
def descriptors(context, parameters, timeout):
    os.dup(0)
    return answer(parameters)
def writes(context, parameters, timeout):
    (context.workspace / f"left-{time.monotonic_ns()}").write_text("")
    return answer(parameters)
def connects(context, parameters, timeout):
    if parameters.port:
        socket.create_connection(("127.0.0.1", parameters.port)).close()
    return answer(parameters)
def hangs(context, parameters, timeout):
    if parameters.port:
        socket.create_connection(("127.0.0.1", parameters.port)).recv(1)
    return answer(parameters)
def tells(context, parameters, timeout): return answer(parameters, token="t0p-s3cret")
def marks(context, parameters, timeout): return {"seen": object()}

for function in (always_fine, never_fine, lower_case, raises, not_json, fickle, threads, descriptors, writes, connects,
                 hangs, tells):
    globals()["KIND_" + function.__name__] = HealthKind(Parameters, function, isolated=False)
KIND_loose = HealthKind(Loose, lambda c, p, t: answer(p), isolated=False)
KIND_marks = HealthKind(Parameters, lambda c, p, t: answer(p), marks, isolated=False)
KIND_hangs_apart = HealthKind(Parameters, hangs)
KIND_dies = HealthKind(Parameters, lambda c, p, t: os._exit(3))
KIND_is_none = 7
"""


def wheel(directory: Path, name: str, modules: dict[str, str], points: dict[str, str]) -> Path:
    """Make a wheel of a distribution with entry points for kinds."""
    path = directory / f"{name}-1.2-py3-none-any.whl"
    info = f"{name}-1.2.dist-info"
    files = {f"{module}.py": text for module, text in modules.items()} | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[lonelycat.health_kinds]\n"
        + "".join(f"{kind} = {target}\n" for kind, target in points.items()),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{inside},,\n" for inside in (*files, f"{info}/RECORD")))
    return path


class Environment:
    """A virtual environment beside the tests' own, which it sees; what is installed there is seen there alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        venv.create(directory, with_pip=False, symlinks=True)
        self.python = directory / "bin" / "python"
        (site,) = directory.glob("lib/python*/site-packages")
        ours = Path(pytest.__file__).parents[1]
        source = Path(lonelycat.__file__).parents[1]
        (site / "outer.pth").write_text(f"{source}\nimport site; site.addsitedir({str(ours)!r})\n")

    def install(self, made: Path) -> None:
        """Install a wheel with pip."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "--no-index", "--no-deps", str(made)], check=True, capture_output=True)

    def run(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a module in it."""
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        argv = [str(self.python), "-m", *words]
        return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, env=environment)

    def lonelycat(self, workspace: Path, *words: str) -> dict[str, Any]:
        """Run the command line and return its JSON."""
        done = self.run("lonelycat", "--json", "-C", str(workspace), *words, cwd=workspace)
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


def use(workspace: Path, checks: str) -> None:
    policy = workspace / "agent" / "policies" / "default.yaml"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(POLICY + textwrap.indent(checks, "  "))


def test_an_installed_kind_is_used_like_a_built_in_one(
    tmp_path: Path, workspace: Path, environment: Environment
) -> None:
    use(workspace, "says: {kind: word, with: {path: state.txt}, attempts: 1, timeout: 60}\n")
    seen = environment.lonelycat(workspace, "policy", "check")
    assert seen["code"] == "HEALTH_KIND_UNKNOWN" and seen["exit_code"] == 2
    assert "health_checks.says.kind" in seen["message"] and "prometheus" in seen["hint"]
    environment.install(wheel(tmp_path, "lonelycat_word", {"wordkind": KIND}, {"word": "wordkind:KIND"}))
    assert environment.lonelycat(workspace, "policy", "check")["ok"]
    (workspace / "state.txt").write_text("all fine")
    seen = environment.lonelycat(workspace, "health", "run", "says")
    assert seen["ok"] and seen["results"][0]["kind"] == "word"
    (workspace / "state.txt").write_text("broken")
    seen = environment.lonelycat(workspace, "health", "run")
    assert (seen["exit_code"], seen["code"], seen["results"][0]["code"]) == (4, "HEALTH_FAILING", "HEALTH_WORD_MISSING")
    listed = environment.lonelycat(workspace, "health", "list")
    assert {"name": "word", "from": "lonelycat_word 1.2"} in listed["kinds"]
    for seconds in (1.5, 6, 24):  # HEALTH_TIMEOUT: the probe's process was ended before it had started
        use(workspace, f"says: {{kind: word, with: {{path: hang}}, attempts: 1, timeout: {seconds}}}\n")
        code = environment.lonelycat(workspace, "health", "run")["results"][0]["code"]
        if code != "HEALTH_TIMEOUT":
            break
    assert code == "HEALTH_WORD_TIMEOUT"
    use(workspace, "says: {kind: word, with: {pth: state.txt}}\n")
    assert environment.lonelycat(workspace, "policy", "check")["code"] == "HEALTH_PARAMETERS"


@pytest.mark.parametrize(
    ("points", "code", "named"),
    [
        ({"http": "wordkind:KIND"}, "HEALTH_KIND_CLASH", "LonelyCat itself"),
        ({"word": "wordkind:GONE"}, "HEALTH_KIND_BROKEN", "AttributeError"),
        ({"word": "no_such_module:KIND"}, "HEALTH_KIND_BROKEN", "ModuleNotFoundError"),
        ({"word": "badkinds:KIND_is_none"}, "HEALTH_KIND_BROKEN", "is a int, not a HealthKind"),
    ],
)
def test_a_broken_or_clashing_plug_in_is_refused_by_name(
    tmp_path: Path, workspace: Path, environment: Environment, points: dict[str, str], code: str, named: str
) -> None:
    environment.install(wheel(tmp_path, "lonelycat_word", {"wordkind": KIND, "badkinds": BAD}, points))
    use(workspace, 'there: {kind: file, with: {path: ".", type: directory}}\n')
    for command in (("policy", "check"), ("health", "list")):
        seen = environment.lonelycat(workspace, *command)
        assert seen["code"] == code and seen["exit_code"] == 2, seen
        assert "lonelycat_word 1.2" in seen["message"] and named in seen["message"]
    seen = environment.lonelycat(workspace, "health", "run")
    if code == "HEALTH_KIND_CLASH":  # whose kind would it be? nothing is asked
        assert seen["results"][0]["code"] == code
    else:  # it is not what this policy uses
        assert seen["ok"]


def test_two_distributions_with_one_name_are_both_named(
    tmp_path: Path, workspace: Path, environment: Environment
) -> None:
    for name in ("lonelycat_word", "another_word"):
        environment.install(wheel(tmp_path, name, {f"{name}_kind": KIND}, {"word": f"{name}_kind:KIND"}))
    use(workspace, "says: {kind: word, with: {path: state.txt}}\n")
    seen = environment.lonelycat(workspace, "policy", "check")
    assert seen["code"] == "HEALTH_KIND_CLASH"
    assert "lonelycat_word 1.2" in seen["message"] and "another_word 1.2" in seen["message"]


AUTHORS_TEST = """
import pytest
from lonelycat.checks.health.conformance import Subject, contract

WORD = Subject("word", passing={"path": "/etc/passwd", "word": "root"}, failing={"path": "/etc/passwd"}, seconds=60)

@pytest.mark.parametrize("test", contract(WORD), ids=str)
def test_contract(test):
    test()
"""
BREAKS = {
    "always_fine": "fails_with_a_code",
    "never_fine": "passes_when_it_should",
    "lower_case": "fails_with_a_code",
    "raises": "fails_with_a_code",
    "not_json": "answers_in_json",
    "fickle": "fails_the_same_way_each_time",
    "threads": "leaves_nothing_behind",
    "descriptors": "leaves_nothing_behind",
    "writes": "changes_nothing",
    "connects": "fails_in_time_on_silence",
    "tells": "tells_no_secret",
    "loose": "refuses_what_it_does_not_know",
    "marks": "notes_a_mark_in_json",
    "dies": "passes_when_it_should",
    "hangs_apart": None,
}
ALL_BAD = """
import json
from lonelycat.checks.health import conformance
from lonelycat.checks.health.conformance import ConformanceError, Subject, contract

conformance._GRACE_SECONDS = 60  # where these tests run, the machine may be very busy

def reaching(port):
    return {"port": port, "good": True}

found = {}
for kind in NAMES:
    seconds = 2.0 if kind == "hangs-apart" else 1.0
    # what these leave never goes: it need not be waited for
    conformance._SETTLING_SECONDS = 0.2 if kind in ("threads", "descriptors") else 3.0
    subject = Subject(kind, {"good": True}, {"good": False}, reaching, secrets=["t0p-s3cret"], seconds=seconds)
    found[kind] = []
    for test in contract(subject):
        try:
            test()
        except ConformanceError as error:
            found[kind].append([test.name, str(error)])
print(json.dumps(found))
"""


def test_the_suite_is_three_lines_in_an_authors_tests(tmp_path: Path, environment: Environment) -> None:
    environment.install(wheel(tmp_path, "lonelycat_word", {"wordkind": KIND}, {"word": "wordkind:KIND"}))
    (tmp_path / "test_word.py").write_text(AUTHORS_TEST)
    done = environment.run("pytest", "-q", "-p", "no:cacheprovider", "test_word.py", cwd=tmp_path)
    assert "9 passed" in done.stdout, done.stdout


@pytest.mark.timeout(400)
def test_the_suite_sees_every_broken_promise(tmp_path: Path, environment: Environment) -> None:
    points = {name.replace("_", "-"): f"badkinds:KIND_{name}" for name in BREAKS}
    environment.install(wheel(tmp_path, "lonelycat_bad", {"badkinds": BAD}, points))
    (tmp_path / "all_bad.py").write_text(f"NAMES = {sorted(points)!r}\n" + ALL_BAD)
    done = environment.run("all_bad", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, promise in BREAKS.items():
        broken = [one for one, _ in found[name.replace("_", "-")]]
        if promise is None:  # what hangs in a process of its own is ended in time, with all of it
            assert not {"fails_in_time_on_silence", "leaves_nothing_behind"} & set(broken), broken
        else:
            assert promise in broken, (name, found[name.replace("_", "-")])
