"""The workflows run pinned actions with the least permissions, and CI runs `.ci/run`."""

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
