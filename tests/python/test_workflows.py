"""The workflows run pinned actions with the least permissions, and CI runs `.ci/run`."""

import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="a source distribution lacks .github")


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request) -> str:
    return request.param.read_text("utf-8")


def test_there_are_workflows():
    assert {"ci.yml", "wheels.yml"} <= {path.name for path in WORKFLOWS}


def test_actions_are_pinned_by_commit_with_their_version(workflow):
    for used in re.findall(r"\buses:\s*(.*)", workflow):
        if not used.startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)+", used), used


def test_an_action_has_one_pin():
    pins = {}
    for path in WORKFLOWS:
        for action, pin in re.findall(r"uses: ([\w/-]+)@(.*)", path.read_text("utf-8")):
            pins.setdefault(action, set()).add(pin)
    assert [action for action, found in pins.items() if len(found) > 1] == []


def test_a_workflow_may_only_read(workflow):
    assert "\npermissions:\n  contents: read\n" in workflow
    assert "write-all" not in workflow
    # A job adds the right to identify itself to a registry, and no other.
    assert set(re.findall(r"(\S+): write\b", workflow)) <= {"id-token"}
    assert "secrets." not in workflow


def test_a_new_run_replaces_the_old_one(workflow):
    assert re.search(r"^concurrency:\n  group: \w+-\$\{\{ github\.ref \}\}\n", workflow, re.M)


def test_every_job_has_a_time_limit(workflow):
    jobs = workflow.partition("\njobs:\n")[2]
    for job in re.split(r"^(?=  [\w-]+:\n)", jobs, flags=re.M)[1:]:
        assert "timeout-minutes: " in job or re.search(r"^    uses: \./", job, re.M), job


def test_what_ci_runs_exists():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    scripts = re.findall(r"run: bash (\S+)$", text, re.M)
    assert ".ci/run" in scripts
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


@pytest.fixture
def build() -> str:
    """The job that builds the wheels."""
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8")
    return re.search(r"^  build:\n((?:    .*\n)*)", text, re.M)[1]


def test_every_platform_builds_its_wheels_for_itself(build):
    rows = re.findall(r"^ +- \{ name: (\w+)-(\w+), os: ([\w.-]+), target: (\w+)", build, re.M)
    kinds = ("manylinux", "musllinux", "macos", "windows")
    architectures = ("x86_64", "aarch64")
    assert sorted(row[:2] for row in rows) == sorted(itertools.product(kinds, architectures))
    for _, architecture, machine, target in rows:
        # Nothing runs in an emulator: the machines of GitHub that have the architecture.
        arm = machine.endswith("-arm") or machine == "macos-14"
        assert arm == (architecture == "aarch64"), machine
        assert target == ("x64" if machine == "windows-2022" else architecture)
    for kind, architecture, machine, _ in rows:
        musl = re.search(rf"name: {kind}-{architecture}, .*musl: true", build) is not None
        assert musl == (kind == "musllinux"), machine


def test_every_wheel_is_smoke_tested_before_it_is_published(build):
    steps = re.split(r"^      - ", build, flags=re.M)[1:]
    builds = [step for step in steps if "maturin-action" in step]
    # abi3 for every CPython with a lock, and one for the free-threaded one, which abi3 leaves out.
    assert [re.findall(r" -i (\S+)", step) for step in builds] == [[], ["python3.14t"]]
    smoke = [step for step in steps if ".ci/smoke.py" in step]
    assert len(smoke) == 2
    for step, condition in zip(smoke, ("!matrix.musl", "matrix.musl"), strict=True):
        assert f"if: ${{{{ {condition} }}}}\n" in step
        for wheel in ("*-abi3-*.whl", "*-cp314t-*.whl"):
            assert step.count(f".ci/smoke.py dist/{wheel}") == 1, wheel
    upload = next(place for place, step in enumerate(steps) if "upload-artifact" in step)
    assert all(steps.index(step) < upload for step in smoke)


def test_the_tests_that_the_workflow_names_exist(build):
    named = re.findall(r"tests/python/\w+\.py", build)
    assert "tests/python/test_index_threads.py" in named
    assert [name for name in named if not (ROOT / name).is_file()] == []
