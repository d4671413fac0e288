"""`harness doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.output import echo, echo_json
from harness.errors import RemoteError, UsageError

if TYPE_CHECKING:
    from harness.doctor.finding import Finding


@click.command("doctor", short_help=cli.VERBS["doctor"])
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option(
    "--install-hook", is_flag=True, help="Only install the git hook that refuses commits with keys or tokens."
)
@click.option("--staged", is_flag=True, help="Only search the staged files for keys and tokens, as the git hook does.")
@click.option(
    "--secrets", is_flag=True, help="Only search all files and the git history for keys and tokens, as CI does."
)
def command(as_json: bool, install_hook: bool, staged: bool, secrets: bool) -> None:
    """Check that everything a run needs is installed and works. Exit code 5 if something does not work."""
    if install_hook:
        from harness.doctor.hook import install_hook as install

        echo(f"{install()}: the hook refuses commits that contain a key or a token")
        return
    if staged:
        _refuse_staged()
        return
    from harness.doctor.finding import PROBLEM, WARNING

    findings = []
    for finding in _secrets() if secrets else _everything():
        findings.append(finding)
        if not as_json:
            echo(f"{finding.word:<8} {finding.subject:<16} {finding.text}")
            if finding.word != "ok":
                echo(f"{'':<8} {'':<16} try: {finding.fix}")
    problems = [finding for finding in findings if finding.word == PROBLEM]
    warnings = sum(finding.word == WARNING for finding in findings)
    if as_json:
        echo_json({"ok": not problems, "findings": [finding.to_dict() for finding in findings]})
    elif not problems and not secrets:
        some = f"no problems; {warnings} warning{'s' * (warnings > 1)}"
        echo("", some if warnings else "everything works")
    if problems:
        raise RemoteError(
            f"{len(problems)} of {len(findings)} findings are problems",
            "; ".join(finding.subject for finding in problems),
            "the command below each problem",
        )


def _secrets() -> Iterator[Finding]:
    from harness.doctor.repository import secrets

    return secrets(alone=True)


def _everything() -> Iterator[Finding]:
    from harness.doctor.checks import run_checks

    return run_checks()


def _refuse_staged() -> None:
    from harness.doctor.leaks import in_index

    leaks = in_index()
    if leaks:
        files = " ".join(sorted({quote(leak.path) for leak in leaks}))
        raise UsageError(
            "this commit is refused: it contains a secret",
            "; ".join(map(str, leaks)),
            f"git rm --cached {files}, and keep it outside the project; "
            "or, if it is not a secret, end the line with # pragma: allowlist secret",
        )
