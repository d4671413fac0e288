"""What the documents show works."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.engine.trainer import EVENTS, Trainer

ROOT = Path(__file__).parents[1]
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_the_trainer_by_itself_in_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    example, callback, goes_on = blocks("docs/trainer.md")
    code = [line for line in example.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 10
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["state"].history[-1]["valid_accuracy"] > 0.9
    exec(callback, names)
    trainer = Trainer(callbacks=[names["GradientNorm"]()], precision="fp32")
    state = trainer.fit(names["model"], names["optimizer"], names["batches"], None, 2)
    assert state.history[-1]["gradient_norm"] > 0
    compile(goes_on, "docs/trainer.md", "exec")


def test_the_experiment_in_the_readme_is_one() -> None:
    examples = [block for block in blocks("README.md") if "Experiment(" in block]
    assert examples
    for example in examples:
        names: dict[str, Any] = {"__name__": "readme"}
        exec(example, names)
        assert isinstance(names["experiment"], harness.Experiment)


def test_examples_in_python_name_what_is_public() -> None:
    examples = blocks("README.md") + blocks("docs/python.md")
    used = {
        node.attr
        for example in examples
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "harness"
    }
    assert {"run", "load_model", "Experiment"} <= used <= set(harness.__all__)


def test_links_lead_somewhere() -> None:
    links = [(path, target) for path in DOCUMENTS for target in re.findall(r"\]\(([^)#]+)\)", path.read_text())]
    assert {"README.md", "CONTRIBUTING.md", "architecture.md"} <= {path.name for path, _ in links}
    inside = [(path, target) for path, target in links if not target.startswith("http")]
    assert len(inside) > 5
    assert [f"{path.name}: {target}" for path, target in inside if not (path.parent / target).exists()] == []


def test_the_reference_has_every_public_name_once() -> None:
    reference = "".join(path.read_text() for path in PAGES if path.parent.name == "reference")
    described = re.findall(r"^\.\. auto\w+:: harness\.(\w+)", reference, re.MULTILINE)
    assert sorted(described) == sorted({*harness.__all__} - {"__version__"})


def test_the_loop_is_drawn_with_every_event() -> None:
    drawn = (ROOT / "docs/architecture.md").read_text().split("## The loop")[1].split("## Rooms")[0]
    assert [event for event in EVENTS if event not in drawn] == []


def test_the_table_of_events_has_every_event() -> None:
    table = (ROOT / "docs/trainer.md").read_text().split("## Events")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(EVENTS)


def test_every_module_has_its_place_in_the_house() -> None:
    table = (ROOT / "docs/architecture.md").read_text().split("## Rooms")[1].split("\n## ")[0]
    homes = {
        path.name for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    homes -= {"__init__.py", "__main__.py", "py.typed"}
    assert len(homes) > 10
    assert {home for home in homes if f"`{home}" not in table} == set()


def test_the_readme_fits_on_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
