"""Tests of the file that `harness new` writes, also with hostile file names."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.config.experiment_file import load
from harness.errors import ExperimentError, StorageError, UsageError
from harness.workflows.make_plan import make_plan
from harness.workflows.new.suggest import Field, suggest
from harness.workflows.new.write import comment, file_text, literal, require_name, write_new
from tests.workflows.test_look import draw_into, numbered
from tests.workflows.test_suggest import FACTS

HOSTILE = ['"""\nimport os\nos.system("touch broken")\n#', "it's {} %s \\U", "\x1b[31mred\u202e", "a\r\x0c\u2028b"]


@pytest.mark.parametrize("name", ["photos", "sea-forest", "a_1", "x" * 100])
def test_require_name_accepts_valid_names(name: str) -> None:
    assert require_name(name) == name


@pytest.mark.parametrize(
    ("name", "why", "better"),
    [
        ("", "begins with a letter", "experiment"),
        ("..", "begins with a letter", "experiment"),
        ("../x", "begins with a letter", "x"),
        ("/tmp/x", "begins with a letter", "tmp-x"),
        ("My Photos", "begins with a letter", "my-photos"),
        ("photos.py", "begins with a letter", "photos"),
        ("2cats", "begins with a letter", "cats"),
        ("-x", "begins with a letter", "x"),
        ("x" * 101, "at most 100", "x" * 60),
        ("a\nb", "begins with a letter", "a-b"),
        ("class", "a keyword of Python", "my-class"),
        ("json", "`import json`", "my-json"),
        ("torch", "`import torch`", "my-torch"),
        ("harness", "this program", "my-harness"),
        ("con", "Windows", "my-con"),
        ("champion", "the champion", "my-champion"),
        ("pipeline", "dvc.yaml", "my-pipeline"),
    ],
)
def test_require_name_refuses_invalid_names_and_suggests_one(name: str, why: str, better: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_name(name)
    assert why in caught.value.why
    assert caught.value.fix == f"harness new {better} --data FOLDER"
    assert require_name(better) == better


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, "C:\\Users\\new", "end\\", 'a"b', "it's", r"(\d+)", "\udcff", ("a", 1.5), ("x",), None, True, 1e-4],
)
def test_literal_is_one_line_that_evaluates_to_the_value(value: Any) -> None:
    text = literal(value)
    assert ast.literal_eval(text) == value
    assert text.encode().decode().isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_comment_is_one_line(text: str) -> None:
    assert comment(text).isprintable()
    assert ast.parse(f"# {comment(text)}\n").body == []


@pytest.mark.parametrize("name", HOSTILE)
def test_file_text_runs_no_code_in_a_name(name: str) -> None:
    facts = dataclasses.replace(FACTS, counts={name: 5, "dog": 50}, rarest=(name, 3), folds=3)
    facts = dataclasses.replace(facts, experiment=facts.experiment.replace(data=name))
    text = file_text("photos", facts, suggest(facts, "disk"))
    tree = ast.parse(text)
    assert [type(node).__name__ for node in tree.body] == ["Expr", "ImportFrom", "Assign", "If"]
    assert max(map(len, text.splitlines())) <= 120
    values: dict[str, Any] = {"__name__": "photos"}
    exec(text, values)
    assert values["experiment"].data == name


def test_file_text_refuses_an_invalid_value() -> None:
    with pytest.raises(ExperimentError, match="resize"):
        file_text("photos", FACTS, [Field("resize", "stretch", "why not")])


def test_write_new_writes_a_file_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{folder}/person{i // 2}{folder}_{i}.png" for folder in ("cat", "dog") for i in range(8)]
    draw_into(tmp_path / "my photos", *names)
    written = write_new("pets", "my photos", {"epochs": "2"})
    assert written.path == Path("experiments/pets.py")
    assert written.weights is None
    experiment = load(written.path)
    assert (experiment.data, experiment.epochs, experiment.groups) == ("my photos", 2, None)
    suggestion = '    # groups=r"(person[-_ ]?\\d+)",\n'
    assert suggestion in written.path.read_text()
    written.path.write_text(written.path.read_text().replace(suggestion, suggestion.replace("# ", "")))
    plan = make_plan(load(written.path).replace(folds=written.facts.grouping.folds))
    assert len({*plan.groups.tolist()}) == 4
    written.path.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        write_new("pets", "my photos")
    assert written.path.read_text() == "mine"
    write_new("pets", "my photos", force=True)
    assert load(written.path).epochs == 30


def test_write_new_without_network_needs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_into(tmp_path / "photos", *numbered("cat", "dog", count=2), size=(80, 80))
    for where, model in (("", "small_cnn"), ("network", "resnet18")):
        monkeypatch.setattr("harness.workflows.new.write.imagenet_at_hand", lambda _, where=where: where)
        assert write_new("pets", "photos", force=True).weights == where
        assert load("experiments/pets.py").model == model
    written = write_new("pets", "photos", {"weights": "mine.pth"}, force=True)
    assert (written.weights, load(written.path).weights) == (None, "mine.pth")


def test_write_new_changes_nothing_if_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments/pets.py").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    for name, data, typed, what in (
        ("pets", "photos", {}, "is a folder"),
        ("own", "photos", {"data": "x"}, "-s data="),
        ("own", "photos", {"lrr": "1"}, "no field 'lrr'"),
    ):
        with pytest.raises(UsageError, match=what):
            write_new(name, data, typed, force=True)
    (tmp_path / "experiments/pets.py").rmdir()
    (tmp_path / "experiments").rmdir()
    (tmp_path / "experiments").write_text("")
    with pytest.raises(UsageError, match="experiments is not a folder"):
        write_new("own", "photos")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiments", "photos"]


def test_write_new_names_the_command_after_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    draw_into(tmp_path / "my photos", *numbered("cat", "dog", count=2))
    for broken in ("tempfile.TemporaryFile", "os.fsync"):  # before the images are read, and after
        with monkeypatch.context() as patch:
            patch.setattr(broken, refuse)
            with pytest.raises(StorageError) as caught:
                write_new("pets", "my photos")
        assert caught.value.fix.endswith(" writable, then harness new pets --data 'my photos'")
        assert [*tmp_path.glob("experiments/*")] == []
