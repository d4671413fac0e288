"""The house holds: who may import whom, one tool in one file, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent
# A module or package -> its floor. Imports go downwards; inside a package, files may import each other.
FLOORS = {
    "version": 0,
    "escape": -1,
    "errors": 0,
    "allocator": 1,
    "checked": 1,
    "records": 2,
    "secret_kinds": 1,
    "trust": 2,
    "fields": 0,
    "files": 1,
    "git": 1,
    "leaks": 2,
    "local_only": 1,
    "hook": 2,
    "metrics": 1,
    "parallel": 1,
    "settings_file": 1,
    "champion": 3,
    "precision": 1,
    "processes": 1,
    "redact": 0,
    "evaluate": 2,
    "scores": 2,
    "servers": 1,
    "cache": 2,
    "data": 3,
    "checkpoint": 4,
    "experiment": 4,
    "engine": 4,
    "plots": 4,
    "models": 5,
    "experiment_file": 5,
    "callbacks": 5,
    "provenance": 5,
    "recipe": 5,
    "own_model": 8,
    "prepared": 6,
    "features": 6,
    "compiled": 6,
    "versioning": 6,
    "trackers": 7,
    "feeding": 7,
    "run": 8,
    "notes": 8,
    "plan": 9,
    "crossval": 10,
    "gate": 10,
    "promotion": 11,
    "doctor": 11,
    "reproduce": 11,
    "search": 11,
    "cli": 12,
}
# A tool -> the files that may import it.
TOOLS = {
    "click": "cli/",
    "tqdm": ("callbacks/progress.py", "data/check.py", "data/demo.py"),
    "sklearn": ("data/splits.py", "scores.py"),
    "PIL": ("data/", "plots/gallery.py", "callbacks/first_batch.py"),
    "matplotlib": "plots/",
    "mlflow": "trackers/mlflow/",
    "tensorboard": "trackers/tensorboard/",
    "optuna": "search/",
    "optuna_dashboard": "search/",
    "sqlalchemy": "search/",
    "werkzeug": "search/dashboard.py",
    "dvc": "versioning/",
    "detect_secrets": "secret_kinds.py",
    "yaml": ("data/tracked.py", "settings_file.py"),
    "pathspec": "data/ignored.py",
}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """The modules that a file imports; without `everywhere`, only those that importing it imports at once."""
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


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_downwards(path: Path) -> None:
    home = path.parts[0].removesuffix(".py")
    if home in ("__init__", "__main__"):
        return
    for module in imports(path):
        parts = module.split(".")
        if module == "harness.STARTED":
            continue  # a number, no module
        if parts[0] == "harness" and len(parts) > 1 and parts[1] != home:
            assert FLOORS[parts[1]] < FLOORS[home], f"{path} imports {module}"


def test_one_tool_lives_in_one_place() -> None:
    for path in FILES:
        for module in imports(path):
            allowed = TOOLS.get(module.split(".")[0])
            assert allowed is None or path.as_posix().startswith(allowed), f"{path} imports {module}"


def test_files_are_short() -> None:
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
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    heavy = (
        "{'torch', 'torchvision', 'numpy', 'PIL', 'mlflow', 'tensorboard', 'optuna', 'sklearn', 'matplotlib', 'dvc'}"
    )
    script = f"import sys\n{code}\nfound = {heavy} & set(sys.modules)\nassert not found, found"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_public_names_are_sorted_and_each_is_there() -> None:
    names = [name for name in harness.__all__ if not name.startswith("__")]
    assert names == sorted(names)
    assert set(names) == set(harness._HOMES)
    assert all(getattr(harness, name).__doc__ for name in names)
    assert dir(harness) == harness.__all__
    with pytest.raises(AttributeError):
        harness.nothing  # noqa: B018


def test_what_is_declared_for_type_checkers_is_what_is_public() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == {name: f"harness.{home}" for name, home in harness._HOMES.items()}
