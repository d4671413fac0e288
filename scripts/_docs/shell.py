"""Runs the commands and the Python blocks of one page in a project folder, as somebody at a terminal does."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from masks import UNSTEADY
from pages import ROOT

RUN_ID = re.compile(r"\b\d{8}-\d{6}-([0-9a-f]{4})\b")
SHOWN_IDS = [  # each id that a page shows, in the order in which the runs are made
    "20261128-093012-7f1b",
    "20261128-093105-6aa5",
    "20261128-094127-c20e",
    "20261128-095310-91d4",
    "20261128-100242-e8b7",
    "20261128-101518-3c6f",
    "20261128-102633-b05a",
    "20261128-103901-d4e2",
    "20261128-104420-58c1",
    "20261128-105137-a93d",
    "20261128-110248-0e7b",
    "20261128-111559-f416",
    "20261128-112703-27ca",
    "20261128-113846-9b80",
    "20261128-114910-e15f",
    "20261128-120022-6d32",
]
STEADY = (  # ports and ids that differ from call to call
    (r"127\.0\.0\.1:60\d\d", "127.0.0.1:6006"),
    (r"127\.0\.0\.1:50\d\d", "127.0.0.1:5000"),
    (r"127\.0\.0\.1:8[01]\d\d", "127.0.0.1:8090"),
    (r"-changes/\d{8}-\d{6}", "-changes/20261128-095000"),
    (r"runs:/[0-9a-f]{32}", "runs:/d33fd1b6a546437094648d39a8e2bdfc"),
)
INTERPRETER = """
import contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
answers = sys.stdout
for line in sys.stdin:
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(json.loads(line), "block", "exec"), names)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), file=answers, flush=True)
"""


def heed_interrupts() -> None:
    """Undoes what a shell does to a background job: it ignores Ctrl-C, and so would the commands of a page."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Shell:
    """A shell in `folder` with `harness` on its path. The runs' ids are shown as SHOWN_IDS, the oldest run first."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.home = self.folder = folder
        self.scratch = scratch
        self.ids: dict[str, str] = {}  # id -> shown id
        self.interpreter: subprocess.Popen[str] | None = None
        programs = scratch / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name, module in {"harness": "-m harness", "python": "", "mlflow": "-m mlflow"}.items():
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
            script.chmod(0o755)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "HARNESS_", "SSH_"))
        }
        self.environment = kept | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HARNESS_CACHE": str(scratch / "cache"),
            "HARNESS_STATE": str(scratch / "state"),
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "100",
        }

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self.interpreter is not None:
            self.interpreter.communicate()  # its input ends, and so does it

    def run(self, command: str, stop_after: float | None = None) -> tuple[list[str], int]:
        """The lines that a command prints, and its exit code. Ctrl-C ends it after `stop_after` seconds."""
        place = self.home.parent / f".{self.home.name}.folder"
        script = f"{self.real(command)}\ncode=$?\npwd > {shlex.quote(str(place))}\nexit $code"
        with tempfile.TemporaryFile("w+") as printed:
            process = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=printed, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=heed_interrupts,
            )  # fmt: skip
            try:
                code = process.wait(stop_after or 600)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGINT if stop_after else signal.SIGKILL)
                try:
                    code = process.wait(60)
                except subprocess.TimeoutExpired:  # it does not answer Ctrl-C
                    os.killpg(process.pid, signal.SIGKILL)
                    code = process.wait()
            output = self.read(printed)
        if place.exists():
            self.folder = Path(place.read_text().strip())
        return output, code

    def execute(self, code: str) -> tuple[list[str], str]:
        """The lines that Python code prints, and its traceback or "". Names stay for the next block of the page."""
        if self.interpreter is None:
            self.interpreter = subprocess.Popen(
                [sys.executable, "-c", INTERPRETER], cwd=self.folder, env=self.environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        assert self.interpreter.stdin is not None
        assert self.interpreter.stdout is not None
        print(json.dumps(self.real(code)), file=self.interpreter.stdin, flush=True)
        printed, error = json.loads(self.interpreter.stdout.readline())
        return self.shown(printed).splitlines(), error

    def read(self, printed: IO[str]) -> list[str]:
        printed.seek(0)
        lines = [line.rstrip() for line in self.shown(printed.read()).strip("\ufeff\n").splitlines()]
        return [line for line in lines if not UNSTEADY.match(line)]

    def shown(self, text: str) -> str:
        """The text as a page shows it: with the page's ids, and without a path of this machine."""
        self.find_ids()
        for found in RUN_ID.finditer(text):
            self.name_id(found[0])
        for real, shown in self.ids.items():
            text = text.replace(real, shown)
            text = re.sub(rf"(?<![\w-]){real[-4:]}(?![\w-])", shown[-4:], text)
        for path, name in ((self.home, "~/project"), (self.scratch / "cache", "~/.cache/harness"), (ROOT, "~/harness")):
            text = text.replace(str(path.resolve()), name).replace(str(path), name)
        for pattern, same in STEADY:
            text = re.sub(pattern, same, text)
        return text

    def real(self, text: str) -> str:
        """The command with the ids that the runs of this project have."""
        self.find_ids()
        for real, shown in self.ids.items():
            text = text.replace(shown, real)
            text = re.sub(rf"(?<![\w-]){shown[-4:]}(?![\w-])", real[-4:], text)
        return text

    def find_ids(self) -> None:
        """Names the runs of the project in the order of their making."""
        folders = [path.name for path in self.home.glob("**/runs/*/*") if RUN_ID.fullmatch(path.name)]
        for name in sorted(folders):
            self.name_id(name)

    def name_id(self, real: str) -> None:
        if real not in self.ids and real not in self.ids.values():
            self.ids[real] = SHOWN_IDS[len(self.ids)]
