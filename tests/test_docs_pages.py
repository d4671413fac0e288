"""The commands and the Python blocks of the pages run, and print what the pages show.

`scripts/docs --update` writes the outputs. A comment above a block says how it is checked: scripts/_docs/pages.py.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import re
from pathlib import Path

import pytest
from masks import same_output, shorten
from options import find_mistake
from pages import Block, find_blocks, find_pages, harness_calls, split_session
from story import tell

import harness

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in find_pages()}
CHECKS = re.compile(r"not run: .+|varies: .+|exit code \d+|stopped after \d+ s|file: \S+|hidden: .+|output|drawing|")
LANGUAGES = {"console", "python", "text", "{toctree}", "{eval-rst}", "{field-table}"}
RUN_PAGES = [name for name, page in PAGES.items() if any(block.is_run for block in find_blocks(page))]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.mark.parametrize("name", [*PAGES])
def test_blocks_say_how_they_are_checked(name: str) -> None:
    problems = []
    for block in find_blocks(PAGES[name]):
        place = f"{name}:{block.line}"
        if not CHECKS.fullmatch(block.comment):
            problems.append(f"{place}: <!-- {block.comment} --> is no check")
        if block.language not in LANGUAGES and not block.comment.startswith("not run"):
            problems.append(f"{place}: a block of {block.language or 'no language'} needs <!-- not run: REASON -->")
        if block.language == "text" and not block.comment:
            problems.append(f"{place}: a text block needs a comment above it")
    assert problems == []


@pytest.mark.parametrize("name", [*PAGES])
def test_commands_of_a_page_exist(name: str) -> None:
    assert PAGES[name].count("```") == 2 * len(find_blocks(PAGES[name]))
    mistakes = [
        f"{name}:{block.line}: {mistake} (harness {' '.join(arguments)})"
        for block in find_blocks(PAGES[name])
        for arguments in harness_calls(block)
        if (mistake := find_mistake(arguments))
    ]
    inline = re.findall(r"`harness ((?:[a-z]|--)[^`…]*)`", PAGES[name])
    mistakes += [f"{name}: {mistake} (harness {text})" for text in inline if (mistake := find_mistake(text.split()))]
    assert mistakes == []


@pytest.mark.parametrize("name", [*PAGES])
def test_python_blocks_are_python(name: str) -> None:
    for block in find_blocks(PAGES[name]):
        if block.language == "python":
            ast.parse(block.text)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_PAGES)
@pytest.mark.skipif(os.name == "nt", reason="the pages show the commands of a Unix shell")
def test_page_shows_what_its_blocks_print(name: str, scratch: Path) -> None:
    outcomes = tell(PAGES[name], scratch)
    problems = [f"{name}:{each.block.line}: {problem}" for each in outcomes for problem in each.problems]
    assert "\n".join(problems) == ""


def test_harness_calls_reads_the_commands_of_a_block() -> None:
    text = (
        "harness list   shows runs\nnohup harness run x > log 2>&1 &\nA=b harness ui # page\nls | harness predict -\n"
    )
    calls = [*harness_calls(Block("text", text, "not run: an example", "", (0, 0), 1))]
    assert calls == [["list"], ["run", "x"], ["ui"], ["predict", "-"]]
    assert find_mistake(["runs", "prune", "--keep-best", "3"]) == ""
    assert "no option --keep-bst" in find_mistake(["runs", "prune", "--keep-bst", "3"])
    assert "no command prun" in find_mistake(["runs", "prun"])


def test_split_session_separates_commands_and_outputs() -> None:
    assert split_session("$ a \\\n  b\none\ntwo\n$ c\n") == [("a \\\n  b", ["one", "two"]), ("c", [])]


def test_same_output_ignores_numbers_and_ids_alone() -> None:
    printed = ["accuracy 99.1 %, 22 s", "fold 1", "fold 2", "in runs/a/20261127-230959-8969"]
    assert same_output(["accuracy 87.5 %, 1 min 2 s", "...", "in runs/a/20261128-101500-7f1b"], printed)
    assert not same_output(["accuracy 99.1 %, 22 s", "in runs/a/20261127-230959-8969"], printed)
    assert not same_output(["loss 99.1 %, 22 s", "..."], printed)


def test_shorten_leaves_out_what_the_page_leaves_out() -> None:
    printed = ["a", "fold 1", "fold 2", "fold 3", "changed", "z"]
    assert shorten(["a", "fold 1", "...", "fold 3", "old", "z"], printed) == [
        "a",
        "fold 1",
        "...",
        "fold 3",
        "changed",
        "z",
    ]
    assert shorten([".", ".", "...", "."], printed) == ["a", "fold 1", "...", "z"]
    assert shorten(["a", "z"], ["a", "b", "z"]) == ["a", "b", "z"]
    assert shorten([], printed) == printed
    assert shorten(["...", "  loss focal, lr 1", "..."], ["a", "b", "  loss focal, rate 1", "z"]) == [
        "...",
        "  loss focal, rate 1",
        "...",
    ]


def test_fields_of_other_libraries_page_are_taken() -> None:
    rows = re.findall(r"^\|(?:.+\|){2}(.+)\|$", PAGES["docs/coming-from.md"], re.MULTILINE)
    fields = [text for row in rows for text in re.findall(r"`(\w+=[^`]+)`", row) if text[0].islower()]
    assert len(fields) > 40
    for text in fields:
        experiment = eval(f"Experiment({text})", {"Experiment": harness.Experiment, "harness": harness})
        assert isinstance(experiment, harness.Experiment)


def test_field_table_has_every_field_once() -> None:
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs/conf.py")
    assert spec is not None
    assert spec.loader is not None
    conf = importlib.util.module_from_spec(spec)
    pytest.importorskip("sphinx")
    spec.loader.exec_module(conf)
    names = [field.name for field in dataclasses.fields(harness.Experiment)]
    assert re.findall(r"^\| `(\w+)`", conf.field_tables(), re.MULTILINE) == names
    assert conf.FIELD_TABLES in PAGES["docs/experiment.md"]
    assert set(conf.FIELD_GROUPS) <= set(names)
