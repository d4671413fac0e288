"""`harness compare` on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome
from tests.predicted import lay_run, lay_test, lay_trial, predicted

Call = Callable[..., Outcome]
DOCUMENT = Path(__file__).parents[2] / "docs/numbers.md"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in the current folder, with three runs whose ids end with good, fair and poor."""
    monkeypatch.chdir(tmp_path)
    for name, right in {"good": "+" * 60, "fair": "+" * 57 + "---", "poor": "-" * 15 + "+" * 45}.items():
        run = lay_run(Path("runs"), predicted(right), experiment={"lr": len(right.strip("+")) / 100})
        run.update(id=f"20260101-000000-{name}")
    return tmp_path


def files(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_compare_prints_two_runs(call: Call, home: Path) -> None:
    before = files(home)
    outcome = call("compare", "good", "poor")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "2 results compared, on the 60 images that both have predictions for"
    assert "  A  100.0 %   94.0 to 100.0 %  run 20260101-000000-good of tiny" in lines
    assert "  A - B  +25.0   +12.6 to +35.8  15 : 0" in lines
    assert "  A is better (p 6.1e-05)" in lines
    assert "they disagree about 15 of 60 images of images; the first 10:" in lines
    assert ["forest/0.jpg", "forest", "forest", "90", "%", "sea", "90", "%"] in [line.split() for line in lines]
    assert "  --out FOLDER writes all 15 of them" in lines
    assert files(home) == before  # without --out, nothing is written


def test_compare_prints_a_table_of_pairs_within_100_columns(call: Call, home: Path) -> None:
    outcome = call("compare", "good", "fair", "poor")
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert re.search(
        r"^  A - B  \+5\.0 .* 3 : 0 +no significant difference \(p 0\.25\)  \d+$", outcome.out, re.MULTILINE
    )
    assert re.search(r"^  B - C  .* 15 : 3 +B is better \(p 0\.015\)$", outcome.out, re.MULTILINE)
    assert "more images: about how many more would show a difference of this size" in outcome.out


def test_compare_lists_many_runs_by_predicted_class(call: Call, home: Path) -> None:
    for number in range(3):
        lay_run(Path("runs"), predicted("-" + "+" * 59)).update(id=f"2026-more{number}")
    outcome = call("compare", "good", "fair", "poor", "more0", "more1", "more2")
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert "true class forest; predicted forest by A B, sea by C D E F" in outcome.out
    assert outcome.out.count(" - ") == 15


def test_compare_of_equal_runs_finds_no_difference(call: Call, home: Path) -> None:
    lay_run(Path("runs"), predicted("+" * 60), experiment={"lr": 0.0}).update(id="2026-same")
    outcome = call("compare", "good", "same")
    assert outcome.code == 0
    assert "no difference at all: both are right on the same images" in outcome.out
    assert "all settings are the same" in outcome.out
    assert "all predict the same class for every image" in outcome.out


def test_compare_shows_a_caveat_beside_the_accuracy(call: Call, home: Path) -> None:
    lay_test(Path("runs"), predicted("+" * 60), leaked=60).update(id="2026-leak")
    refused = call("compare", "leak", "poor")
    assert (refused.code, len(refused.error_lines), refused.out) == (4, 3, "")
    leak = "LEAK: 60 of the 60 images were trained on"
    assert leak in refused.error_lines[1]
    assert "--allow-leak" in refused.error_lines[2]
    outcome = call("compare", "leak", "poor", "fair", "--allow-leak", "--out", "out")
    row = next(line for line in outcome.out.splitlines() if line.startswith("  A  100.0 %"))
    assert leak[:20] in row
    assert "A is better (p 0.00018), unfair" in outcome.out
    assert "not a fair comparison, because A was trained on its images" in outcome.out
    assert leak in Path("out/comparison.csv").read_text()
    assert leak in json.loads(call("compare", "leak", "poor", "--allow-leak", "--json").out)["sides"][0]["caveats"][0]


def test_compare_json_has_only_documented_fields(call: Call, home: Path) -> None:
    outcome = call("compare", "good", "fair", "poor", "--json", "--out", "out")
    output = json.loads(outcome.out)
    assert outcome.out.count("\n") == 1
    assert (output["n"], output["out"], output["files"][:2]) == (60, "out", ["comparison.csv", "images.csv"])
    assert [side["accuracy"] for side in output["sides"]] == [1.0, 0.95, 0.75]
    assert output["pairs"][0]["p"] == 0.25
    assert output["disagreements"][0].keys() == {"path", "true", "said", "confidence", "right"}
    document = DOCUMENT.read_text().split("## Comparison")[1]
    known = set(re.findall(r"`(\w+)`", document))
    own = {*output, *output["sides"][0], *output["pairs"][0], *output["disagreements"][0]}
    assert own - known == set()


def test_compare_accepts_the_short_name_of_a_trial(call: Call, home: Path) -> None:
    lay_trial(Path("runs"), "wide", 3, predicted("-" + "+" * 59))
    outcome = call("compare", "study-wide/trial-003", "good")
    assert "trial study-wide/trial-003" in outcome.out
    assert "study-sea_forest/trial-003" in call("compare", "--help").out


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ((), 2, "Missing argument"),
        (("good",), 2, "there is nothing to compare with"),
        (("good", "good"), 2, "good and good are the same run"),
        (("good", "20260101-000000-good"), 2, "are the same run"),
        (("good", "nothing"), 2, "nothing is not a run folder"),
        (("good", "study-wide/trial-009"), 2, "is not a run folder"),
        (("good", "champion"), 2, "there is no champion"),
        (("good", "poor", "--out", "runs"), 2, "cannot be the folder of a comparison"),
        (("good", "poor", "--out", "runs/tiny/x/y/../../../../file"), 2, "cannot be the folder of a comparison"),
    ],
)
def test_compare_refuses_bad_input_in_three_lines(
    call: Call, home: Path, typed: tuple[str, ...], code: int, says: str
) -> None:
    (home / "file").touch()
    (home / "runs/tiny/x/y").mkdir(parents=True)
    before = files(home)
    outcome = call("compare", *typed)
    assert (outcome.code, outcome.out, len(outcome.error_lines)) == (code, "", 3)
    assert says in outcome.error_lines[0]
    assert files(home) == before


def test_compare_of_a_trained_run_and_a_test(call: Call, project: Path, scenery: Path) -> None:
    """Compares the folds of a trained run with a test of its model on the same images, which needs --allow-leak."""
    run = Path(json.loads(call("run", "tiny", "--fold", "1", "-s", "epochs=1", "--json").out)["run_dir"])
    options = ("--data", scenery, "--allow-leak", "--min-accuracy", "0", "--json")
    test = json.loads(call("test", run, *options).out)["run_dir"]
    assert call("compare", run.name[-4:], test).code == 4
    outcome = call("compare", run.name[-4:], test, "--allow-leak", "--json", "--out", "out")
    output = json.loads(outcome.out)
    record = json.loads((run / "run.json").read_text())
    assert (outcome.code, output["n"], output["matched_by"]) == (0, record["n"], "pixels")
    assert output["sides"][0]["caveats"] == ["only fold 1 of 2"]
    assert output["sides"][0]["accuracy"] == record["accuracy"]
    assert {*output["files"]} == {path.name for path in Path("out").iterdir()} - {".again"}
