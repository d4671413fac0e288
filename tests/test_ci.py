"""What GitHub runs: by its schema, with pinned actions and least permissions, and no secret in the checkout."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from options import find_mistake

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def workflow(name: str = "test") -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text()))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_what_github_takes(path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    assert subprocess.run([*check, path], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), action


def test_it_may_read_the_code_and_nothing_else() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    assert not [job for job in workflow()["jobs"].values() if "permissions" in job]
    steps = [step for job in workflow()["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 2
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_tests_run_on_each_system_whatever_secrets_there_are() -> None:
    job = workflow()["jobs"]["test"]
    assert job["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert job["steps"][-1]["run"] == "scripts/test ${{ matrix.options }}"
    assert "--all" in [each.get("options") for each in job["strategy"]["matrix"]["include"]]
    assert "if" not in job
    assert not [step for step in job["steps"] if "if" in step]
    assert "secrets." not in str(job)


def test_the_secret_is_seen_by_one_step_and_is_written_nowhere() -> None:
    job = workflow()["jobs"]["champion"]
    assert job["env"] == {"HAS_SECRET": "${{ secrets.GDRIVE_CREDENTIALS_DATA != '' }}"}
    (step,) = [step for step in job["steps"] if "secrets." in str(step.get("env", ""))]
    assert step["run"].splitlines()[-1] == '"$python" -m harness data pull'
    assert not [step for step in job["steps"] if "secrets." in step.get("run", "")]
    assert all("if" in step for step in job["steps"])


def test_without_the_secret_it_says_so_where_it_is_seen() -> None:
    first, *others = workflow()["jobs"]["champion"]["steps"]
    assert first["if"] == "env.HAS_SECRET != 'true'"
    assert "skipped: the secret GDRIVE_CREDENTIALS_DATA is not set" in first["run"]
    assert "$GITHUB_STEP_SUMMARY" in first["run"]
    assert {step["if"].removeprefix("always() && ") for step in others} == {"env.HAS_SECRET == 'true'"}


def test_the_champion_has_to_pass_its_gate() -> None:
    (test,) = [step for step in workflow()["jobs"]["champion"]["steps"] if "test champion" in step.get("run", "")]
    assert "harness test champion --min-accuracy 0.7" in test["run"]
    assert '--summary "$GITHUB_STEP_SUMMARY"' in test["run"]
    assert "continue-on-error" not in test


def test_the_report_is_uploaded_whether_the_gate_is_passed_or_not_and_shows_no_image() -> None:
    write, upload = workflow()["jobs"]["champion"]["steps"][-2:]
    assert "harness report champion-test --no-images --out champion.html" in write["run"]
    assert upload["with"]["path"] == "champion.html"
    assert write["if"] == upload["if"] == "always() && env.HAS_SECRET == 'true'"


def test_docs_builds_the_site_with_scripts_docs_on_every_push_and_pull_request() -> None:
    assert {"push", "pull_request"} < set(workflow("docs")[True])  # YAML 1.1 reads the key "on" as true
    job = workflow("docs")["jobs"]["build"]
    checkout, _, build, upload = job["steps"]
    assert checkout["with"]["persist-credentials"] is False
    assert build["run"] == "scripts/docs"
    assert upload["with"]["path"] == "docs/_build"
    assert not [step for step in job["steps"] if "if" in step or "continue-on-error" in step]


def test_docs_publishes_from_main_only_and_from_the_job_with_the_permission() -> None:
    assert workflow("docs")["permissions"] == {"contents": "read"}
    build, deploy = workflow("docs")["jobs"].values()
    assert "permissions" not in build
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}
    assert deploy["if"] == "github.ref == 'refs/heads/main'"
    assert deploy["needs"] == "build"
    assert deploy["environment"]["name"] == "github-pages"
    assert [step["uses"].partition("@")[0] for step in deploy["steps"]] == [
        "actions/configure-pages",
        "actions/deploy-pages",
    ]
    assert "secrets." not in str(workflow("docs"))


def test_docs_never_interrupts_a_deployment() -> None:
    concurrency = workflow("docs")["concurrency"]
    assert concurrency["group"] == "docs-${{ github.ref }}"
    assert concurrency["cancel-in-progress"] == "${{ github.ref != 'refs/heads/main' }}"


def test_workflow_of_the_ci_page_is_valid_pinned_and_gives_the_secret_to_one_step(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "champion.yml"
    path.write_text(text, encoding="utf-8")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    used = set(re.findall(r"uses: (.+)", text))
    assert used <= set(re.findall(r"uses: (.+)", (ROOT / ".github/workflows/test.yml").read_text()))  # the same commits
    job = yaml.safe_load(text)["jobs"]["champion"]
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert [step["run"] for step in job["steps"] if "secrets." in str(step)] == ["harness data pull"]
    commands = [step["run"] for step in job["steps"] if step.get("run", "").startswith("harness ")]
    assert len(commands) == 3
    for command in commands:
        assert not find_mistake(shlex.split(command)[1:]), command
