"""The structure of the package: layers of imports, one place per library, and no slow import before it is needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.runs.record_file import to_json
from harness.runs.record_parts import Status
from tests.conftest import git, track_by_dvc, write_files
from tests.toy import run_record

ROOT = Path(harness.__file__).parent
# A tool -> the files that may import it.
TOOLS: dict[str, str | tuple[str, ...]] = {
    "click": "cli/",
    "tqdm": ("util/console.py", "engine/callbacks/progress.py", "cli/predict_command.py"),
    "captum": "workflows/predict/explain.py",
    "pandas": ("api/", "trackers/mlflow/", "report/"),
    "sklearn": ("data/splits.py", "evaluation/"),
    "PIL": (
        *("data/", "plots/gallery.py", "plots/heat_map.py", "report/thumbnails.py", "report/confusions.py"),
        *("training/first_batch.py", "workflows/export/images.py", "workflows/export/resize.py"),
    ),
    "matplotlib": "plots/",
    "jinja2": "report/page.py",
    "markupsafe": "report/",
    "mlflow": "trackers/mlflow/",
    "tensorboard": "trackers/tensorboard/",
    "optuna": "tuning/",
    "optuna_dashboard": "tuning/",
    "sqlalchemy": ("tuning/", "trackers/mlflow/answer.py"),
    "werkzeug": ("tuning/dashboard.py", "cli/predict_page.py"),
    "dvc": "versioning/",
    "configobj": "versioning/remote.py",
    "detect_secrets": "doctor/secret_kinds.py",
    "pydantic": (
        *("util/schema.py", "versioning/schemas.py", "models/schemas.py", "models/export_record.py", "runs/"),
        "tuning/schemas.py",
    ),
    "yaml": ("versioning/tracked.py", "config/settings_file.py"),
    "pathspec": "versioning/ignored.py",
    "filelock": "util/locks.py",
    "psutil": "util/processes.py",
    "platformdirs": ("cache/folder.py", "runs/trust.py"),
}
OWN = b"""import torch
from harness import Experiment

experiment = Experiment(model="small_cnn", weights=None, loss=torch.nn.functional.cross_entropy)
"""
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """The modules that a file imports; without `everywhere`, only the imports at its top level."""
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree) if everywhere else _at_once(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "harness":
                yield from (f"harness.{alias.name}" for alias in node.names)
            yield node.module


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not typing_only and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from _at_once(child)


def test_imports_follow_the_layers() -> None:
    """The layers are in setup.cfg."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_each_room_has_a_docstring_of_two_paragraphs() -> None:
    rooms = [path.parent for path in ROOT.glob("*/__init__.py")]
    assert len(rooms) == 18
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py", "version.py"}
    for room in rooms:
        tree = ast.parse((room / "__init__.py").read_text())
        assert len(tree.body) == 1, room
        assert len((ast.get_docstring(tree) or "").split("\n\n")) == 2, room


def test_tests_have_the_same_folders_as_the_package() -> None:
    tests = ROOT.parent / "tests"
    folders = {path.parent.name for path in tests.glob("*/__init__.py")}
    assert folders == {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"strangers"}


def test_each_library_is_imported_only_in_its_place() -> None:
    importers: dict[str, set[str]] = {}
    for path in FILES:
        for module in imports(path):
            importers.setdefault(module.split(".")[0], set()).add(path.as_posix())
    elsewhere = {(tool, path) for tool, paths in importers.items() for path in paths if not _may_import(path, tool)}
    assert elsewhere == set()
    assert TOOLS.keys() - importers.keys() == set()  # no row is unused


def _may_import(path: str, tool: str) -> bool:
    return tool not in TOOLS or path.startswith(TOOLS[tool])


def test_files_have_at_most_300_lines() -> None:
    assert len(FILES) > 100
    assert {str(path): n for path in FILES if (n := len((ROOT / path).read_text().splitlines())) > 300} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import harness",
        "import harness; harness.Experiment; harness.load",
        "from harness.cli.main import run_command; assert run_command(['--help']) == 0",
        "from harness.cli.main import run_command; assert run_command(['runn']) == 2",
        "from harness.cli.main import run_command; assert run_command(['run', '--help']) == 0",
        "from harness.cli.main import run_command; assert run_command(['run', 'nowhere']) == 2",
    ],
)
def test_import_harness_and_help_import_no_slow_library(code: str) -> None:
    heavy = (
        "{'torch', 'torchvision', 'numpy', 'PIL', 'mlflow', 'tensorboard', 'optuna', 'sklearn', 'matplotlib', 'dvc'}"
    )
    script = f"import sys\n{code}\nimported = {heavy} & set(sys.modules)\nassert not imported, imported"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(("given", "there"), [("", "PASSIVE 1000"), ("OMP_WAIT_POLICY=ACTIVE", "ACTIVE None")])
def test_import_harness_sets_passive_waiting_unless_the_user_chose(given: str, there: str) -> None:
    script = "import harness, os; print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    own = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= dict([given.split("=")]) if given else {}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == f"{there}\n"


@pytest.fixture(scope="module")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under git and DVC with a finished run and an experiment file that imports torch."""
    home = tmp_path_factory.mktemp("small")
    record = to_json(run_record("own", status=Status.FINISHED))
    write_files(
        home,
        {"data/sea/a.bin": b"a", "experiments/own.py": OWN, "runs/own/20260101-000000-abcd/run.json": record},
    )
    git(home, "init", "-q")
    track_by_dvc(home, "data")
    command = [sys.executable, "-m", "harness", "data", "remote", str(home.parent / "storage")]
    subprocess.run(command, cwd=home, check=True, capture_output=True)
    return home


@pytest.mark.parametrize(
    ("arguments", "code", "also"),
    [
        ("list", 0, ()),
        ("champion show", 2, ()),
        ("champion history", 0, ()),
        ("cache", 0, ()),
        ("data status", 0, ()),
        ("data remote", 0, ("dvc",)),  # 60 ms, to find the user's configuration
        ("data push", 0, ("dvc",)),
        ("data pull", 0, ("dvc",)),
        ("doctor --secrets", 0, ()),
        ("doctor --staged", 0, ()),
        ("sync nowhere", 2, ()),
        ("search --help", 0, ()),
        ("test --help", 0, ()),
        ("ui --help", 0, ()),
        ("compare --help", 0, ()),
        ("compare runs/own/20260101-000000-abcd nowhere", 2, ()),
    ],
)
def test_run_command_imports_only_the_libraries_that_a_command_needs(
    small_project: Path, arguments: str, code: int, also: tuple[str, ...]
) -> None:
    heavy = {"torch", "torchvision", "mlflow", "tensorboard", "optuna", "sklearn", "matplotlib", "pandas", "dvc"}
    script = (
        "import sys\nfrom harness.cli.main import run_command\n"
        f"code = run_command({arguments.split()!r})\n"
        f"print(code, sorted({heavy - set(also)!r} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=small_project, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == f"{code} []"
    assert arguments != "list" or ("small_cnn" in done.stdout and "finished" in done.stdout)


def test_all_is_sorted_and_each_public_name_exists() -> None:
    names = [name for name in harness.__all__ if not name.startswith("__")]
    assert names == sorted(names)
    assert set(names) == set(harness._HOMES)
    assert all(getattr(harness, name).__doc__ for name in names)
    assert dir(harness) == harness.__all__
    with pytest.raises(AttributeError):
        harness.nothing  # noqa: B018


def test_type_checking_imports_are_the_public_names() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == {name: f"harness.{home}" for name, home in harness._HOMES.items()}
