from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataError, HarnessError, UsageError
from harness.evaluation.comparison import compare
from harness.evaluation.multiple import holm
from harness.evaluation.predictions import Predictions
from harness.runs.champion import CHECKPOINT, install, keep
from harness.runs.champion_record import ChampionFile, ChampionRecord
from harness.runs.record_file import read_record
from harness.runs.record_parts import FoldRecord, SplitSizes, Status
from harness.runs.run_folder import RunFolder
from harness.runs.scores_record import NoiseRecord
from harness.util.files import md5_of
from harness.workflows.compare.pair import p_text
from harness.workflows.compare.runs import RunComparison, compare_runs
from harness.workflows.compare.sides import label_of
from tests.predicted import lay_run, lay_test, lay_trial, predicted

SAMPLE = Path(__file__).parents[1] / "samples/0.1.0"
GOOD, FAIR, POOR = "+" * 57 + "-" * 3, "+" * 50 + "-" * 10, "-" * 12 + "+" * 48


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs of an empty project, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def compared(runs: Path, *folders: RunFolder, allow_leak: bool = False) -> RunComparison:
    return compare_runs([str(folder.path) for folder in folders], runs, allow_leak=allow_leak)


def notes(found: RunComparison) -> str:
    return "\n".join(found.notes)


def test_compare_runs_equals_compare_for_each_pair(runs: Path) -> None:
    sides = [predicted(right) for right in (GOOD, FAIR, POOR)]
    found = compared(runs, *(lay_run(runs, side) for side in sides))
    alone = [compare(sides[i], sides[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert [pair.comparison for pair in found.pairs] == alone
    assert [pair.p for pair in found.pairs] == holm(np.array([each.p for each in alone])).tolist()
    assert [accuracy.right for accuracy in found.accuracies] == [57, 50, 48]
    assert (found.n, found.to_dict()["matched_by"], len(found.disputed)) == (60, "pixels", 22)
    first, _, third = found.pairs
    assert (first.first.label, third.second.label) == ("A", "C")
    assert first.better is first.first
    assert first.verdict() == f"A is better (p {first.p:.2g})"
    assert first.images_needed is None
    assert third.better is None
    needed = alone[2].images_needed(0.05 / 3)
    assert needed is not None
    assert third.images_needed == needed
    assert third.more_images == int(float(f"{needed - 60:.2g}"))
    assert third.verdict().endswith(f"a difference of this size needs about {third.more_images:,} more images")
    assert "corrected for 3 pairs (Holm); 95 % intervals, each on its own" in notes(found)


def test_compare_runs_uses_the_shared_images(runs: Path) -> None:
    """Three overlapping test sets: each accuracy is on the shared images, so that the sides can be compared."""
    found = compared(
        runs, *(lay_run(runs, predicted("+" * 30 + "-" * 10 + "+" * 10, first=first)) for first in (0, 10, 20))
    )
    assert found.n == 30
    assert [accuracy.right for accuracy in found.accuracies] == [20, 20, 30]
    assert "left out: 20 images of A: 10 not predicted by B, 20 not predicted by C" in notes(found)
    assert [len(side["left_out"]) for side in found.to_dict()["sides"]] == [2, 2, 2]


def test_compare_runs_names_the_side_that_reduces_the_shared_images(runs: Path) -> None:
    one, other = (lay_run(runs, predicted(right)) for right in (GOOD, FAIR))
    killed = lay_run(runs, predicted(GOOD[:20]), planned=3, status=Status.INTERRUPTED)
    found = compared(runs, one, other, killed)
    assert found.n == 20
    assert "left out: 40 images of A and B: not predicted by C" in notes(found)
    assert "without C, the others have more images in common" in notes(found)
    assert found.sides[2].caveats == ("UNFINISHED: 1 of 3 folds, interrupted",)


def test_compare_runs_of_equal_models_finds_no_difference(runs: Path) -> None:
    """Equal models cause no error and no ranking (huggingface/evaluate#795, agoragames/leaderboard#25)."""
    one, same, mixed = (lay_run(runs, predicted(right)) for right in ("++-+", "++-+", "+-++"))
    found = compared(runs, one, same, mixed)
    assert [pair.verdict() for pair in found.pairs] == [
        "no difference at all: both are right on the same images",
        "no difference: each is right on 1 image where the other is wrong",
        "no difference: each is right on 1 image where the other is wrong",
    ]
    assert [pair.more_images for pair in found.pairs] == [None] * 3
    assert len(list(found.disagreements())) == 2


def test_compare_runs_matches_images_by_pixels(runs: Path) -> None:
    """One image was edited and kept its name, and the whole folder was renamed. Images are matched by their pixels."""
    before = predicted("+" * 10)
    prints = before.fingerprints
    assert prints is not None
    edited = predicted("+" * 10, prints=[*prints[:3], 7, *prints[4:]])
    moved = dataclasses.replace(edited, paths=tuple(f"deeper/{path}" for path in edited.paths))
    found = compared(runs, lay_run(runs, before), lay_run(runs, edited, data={"digest": "1" * 32 + ".dir"}))
    assert found.n == 9
    assert "left out: 1 image of A: with other pixels in B" in notes(found)
    found = compared(runs, lay_run(runs, before), lay_run(runs, moved, data={"folder": "renamed"}))
    assert found.n == 9
    assert "left out: 1 image of A: not predicted by B" in notes(found)


def test_compare_runs_matches_classes_by_their_names(runs: Path) -> None:
    one, swapped = predicted("+-+-+"), predicted("++--+", classes=("sea", "forest"))
    found = compared(runs, lay_run(runs, one), lay_run(runs, swapped))
    assert found.pairs[0].comparison.better == found.pairs[0].comparison.worse == 1
    first = next(found.disagreements())
    assert (first.true, first.said, first.right) == ("sea", ("forest", "sea"), (0.0, 1.0))


def test_compare_runs_averages_repeats(runs: Path) -> None:
    repeats = [predicted(right, fold=fold) for fold, right in enumerate(("+++-", "+-+-", "+--+"), start=1)]
    noise = NoiseRecord([0.75, 0.5, 0.5], 0.1443, None, None)
    run = lay_run(runs, *repeats, experiment={"repeats": 3}, noise=noise)
    found = compared(runs, run, lay_run(runs, predicted("++++")))
    assert found.n == 4
    assert found.accuracies[0].value == pytest.approx((1 + 1 / 3 + 2 / 3 + 1 / 3) / 4)
    assert "A has up to 3 predictions per image, because of its repeats: they are averaged" in notes(found)
    assert (
        "another seed changes the accuracy of A by about 14.43 points (standard deviation of its 3 repeats)"
        in notes(found)
    )
    rows = {each.path: each for each in found.disagreements()}
    assert rows["sea/1.jpg"].right == pytest.approx((1 / 3, 1.0))
    assert rows["sea/1.jpg"].said == ("forest", "sea")
    assert rows["forest/2.jpg"].said == (
        "forest",
        "forest",
    )  # a smaller share of right predictions is also a difference
    assert rows["forest/2.jpg"].confidence == pytest.approx((1.9 / 3, 0.9))


def test_compare_runs_counts_copies_once_and_groups_as_one(runs: Path) -> None:
    copies = predicted("++++", prints=[1, 2, 1, 3], groups=[0, 1, 0, 2])
    found = compared(runs, lay_run(runs, copies), lay_run(runs, predicted("+-+", prints=[1, 2, 3])))
    assert found.n == 3 - 1  # there the third image has another class
    assert "A has copies of images: images with the same pixels count once" in notes(found)
    places = predicted(GOOD, groups=[i // 6 for i in range(60)])
    grouped = lay_run(runs, places, experiment={"groups": "folder"})
    plain = lay_run(runs, predicted(POOR))
    found = compared(runs, plain, grouped)
    assert [accuracy.groups for accuracy in found.accuracies] == [10, 10]
    assert found.pairs[0].p == compare(places, predicted(POOR)).p > compare(predicted(GOOD), predicted(POOR)).p
    assert "with permutations of whole groups" in notes(found)
    assert "A may have split groups that B kept in one fold" in notes(found)


def test_compare_runs_accepts_the_champion_a_trial_and_a_test(runs: Path) -> None:
    run = lay_run(runs, predicted(GOOD))
    kept = read_record(ChampionRecord, SAMPLE / "models/champion.json")
    checkpoint = ChampionFile(md5_of(b"x"), hashlib.sha256(b"x").hexdigest(), None)
    files = {name: (run.path / name).read_bytes() for name in ("run.json", "predictions.csv")}
    keep(dataclasses.replace(kept, checkpoint=checkpoint), {CHECKPOINT: b"x", **files})
    install(1)
    lay_trial(runs, "wide", 3, predicted(FAIR))
    lay_test(runs, predicted(POOR), checkpoint="runs/tiny/2026-abcd/checkpoints/fold1.pt").update(id="2026-test")
    found = compare_runs(["champion", "study-wide/trial-003", "test"], runs)
    assert [side.kind for side in found.sides] == ["champion", "trial", "test"]
    assert [side.describe() for side in found.sides] == [
        f"champion 1, run {run.id} of tiny",
        "trial study-wide/trial-003",
        "test 2026-test of 2026-abcd/fold1.pt",
    ]
    assert "C tested one model; in A and B, each fold has a separate model" in notes(found)
    assert "if B was chosen as the best of many trials, its accuracy on these images is too good" in notes(found)
    with pytest.raises(UsageError, match=r"champion and .* are the same run"):
        compare_runs(["champion", run.id], runs)


def test_compare_runs_shows_the_settings_of_each_side(runs: Path) -> None:
    """Sides with equal names keep separate settings (mlflow/mlflow#48, automl/DeepCAVE#138)."""
    folders = [
        lay_run(runs, predicted(GOOD), experiment={"lr": lr, "name": "x", "callbacks": [], **more})
        for lr, more in ((0.5, {}), (0.4, {"seed": 3}))
    ]
    found = compared(runs, *folders)
    assert found.settings == {"lr": [0.5, 0.4]}  # a field that one version does not record does not differ
    first, second = found.to_dict()["sides"]
    assert (first["settings"], second["settings"]) == ({"lr": 0.5}, {"lr": 0.4})
    assert first["name"] != second["name"]
    assert first["id"] == folders[0].id


def caveats_of(runs: Path, *parts: Predictions, **fields: object) -> tuple[str, ...]:
    folder = lay_run(runs, *parts, **fields)  # type: ignore[arg-type]
    return compared(runs, folder, lay_run(runs, predicted(GOOD))).sides[0].caveats


def test_caveats_are_shown_beside_the_accuracy(runs: Path) -> None:
    part, two = predicted(GOOD), {str(fold): SplitSizes(1, 1) for fold in (1, 4)}  # fold 1 of 3, and its repeat
    assert caveats_of(runs, part) == ()
    assert caveats_of(runs, part, planned=3, status=Status.PRUNED) == ("PRUNED after 1 of 3 folds",)
    assert caveats_of(runs, part, planned=3, status=Status.RUNNING, pid=2**22 + 1) == (
        "UNFINISHED: 1 of 3 folds, died",
    )
    assert caveats_of(runs, part, experiment={"folds": 3}) == ("only fold 1 of 3",)
    again = predicted(GOOD, fold=4)
    assert caveats_of(runs, part, again, planned=4, experiment={"folds": 3}, splits=two) == ("only fold 1 of 3",)
    assert caveats_of(runs, part, fast_dev_run=True) == ("FAST DEV RUN: trained on two batches",)
    early = [FoldRecord(1, 0.9, 60, 0.5, 1, 2, None, "fold.pt", 1.0)]
    (optimistic,) = caveats_of(runs, part, judged=None, folds=early)
    assert optimistic.startswith("optimistic: the best epoch of each fold was chosen")
    test = lay_test(runs, part, status=Status.INTERRUPTED)
    assert compared(runs, test, lay_run(runs, part)).sides[0].caveats == ("UNFINISHED: interrupted",)


def test_compare_runs_with_one_optimistic_accuracy_is_not_fair(runs: Path) -> None:
    early = {"judged": None, "folds": [FoldRecord(1, 0.9, 60, 0.5, 1, 2, None, "fold.pt", 1.0)]}
    old, new = lay_run(runs, predicted(GOOD), **early), lay_run(runs, predicted(POOR))
    (pair,) = compared(runs, old, new).pairs
    assert pair.verdict().endswith("; not a fair comparison, because only A is optimistic")
    (both,) = compared(runs, old, lay_run(runs, predicted(POOR), **early)).pairs
    assert both.unfair == ""


def test_compare_runs_refuses_or_marks_a_leak(runs: Path) -> None:
    run, test = lay_run(runs, predicted(FAIR)), lay_test(runs, predicted(GOOD), leaked=60)
    with pytest.raises(DataError, match="B was evaluated on images that it was trained on") as caught:
        compared(runs, run, test)
    assert "LEAK: 60 of the 60 images were trained on" in caught.value.why
    found = compared(runs, run, test, allow_leak=True)
    assert found.sides[1].caveats == ("LEAK: 60 of the 60 images were trained on, so it is too good",)
    assert "not a fair comparison, because B was trained on its images" in found.pairs[0].verdict()


def test_compare_runs_finds_a_leak_in_a_test_of_an_earlier_version(runs: Path) -> None:
    """Version 0.1.0 did not look for leaks. The settings of the test say what its model was trained on."""
    run = lay_run(runs, predicted(FAIR, known=False), experiment={"data": "photos"}, data={"folder": "photos"})
    test = lay_test(runs, predicted(GOOD, known=False), experiment={"data": "photos"}, data={"folder": "photos"})
    with pytest.raises(DataError, match="B was evaluated on images that it was trained on"):
        compared(runs, run, test)
    (pair,) = compared(runs, run, test, allow_leak=True).pairs
    assert pair.unfair
    other = lay_test(runs, predicted(GOOD, known=False), experiment={"data": "others"}, data={"folder": "photos"})
    assert compared(runs, run, other).pairs[0].unfair == ""


def test_compare_runs_matches_by_paths_without_fingerprints(runs: Path) -> None:
    old, older = (lay_run(runs, predicted(right, known=False)) for right in (GOOD, FAIR))
    found = compared(runs, old, older)
    assert (found.n, found.to_dict()["matched_by"]) == (60, "paths")
    assert (
        "images of A and B have no fingerprints, so they are matched by their paths: their data have the same digest"
        in notes(found)
    )
    changed = lay_run(runs, predicted(FAIR, known=False), data={"digest": "1" * 32 + ".dir"})
    found = compared(runs, old, changed)
    assert "by their paths: their folder is the same (an image that was edited between the runs counts as" in notes(
        found
    )


def test_compare_runs_takes_fingerprints_from_a_run_with_the_same_data(runs: Path) -> None:
    """A, whose folder was renamed, and B share pixels; C shares B's folder. So C can be compared with A."""
    moved = dataclasses.replace(predicted(GOOD), paths=tuple(f"x/{i}.jpg" for i in range(60)))
    one = lay_run(runs, moved, data={"digest": "1" * 32 + ".dir", "folder": "renamed"})
    other = lay_run(runs, predicted(GOOD))
    old = lay_run(runs, predicted(POOR + "+", known=False))
    found = compared(runs, one, other, old)
    assert (found.n, found.pairs[0].comparison.better, found.accuracies[2].right) == (60, 0, 48)
    assert "left out: 1 image of C" in notes(found)
    for sides, which in (((one, old), "B"), ((old, one), "A")):
        with pytest.raises(DataError, match="the images of A and B cannot be matched") as caught:
            compared(runs, *sides)
        assert caught.value.why.startswith(f"{which} has no fingerprints of its images")


def no_image(runs: Path) -> list[RunFolder]:
    return [lay_run(runs, predicted(GOOD)), lay_test(runs, predicted(GOOD, first=100), data={"folder": "test"})]


def re_encoded(runs: Path) -> list[RunFolder]:
    return [lay_run(runs, predicted(GOOD)), lay_run(runs, predicted(GOOD, prints=range(60)))]


def other_classes(runs: Path) -> list[RunFolder]:
    return [lay_run(runs, predicted(GOOD)), lay_run(runs, predicted(GOOD, classes=("forest", "sea", "lake")))]


def nothing_known(runs: Path) -> list[RunFolder]:
    other = {"digest": "1" * 32 + ".dir", "folder": "elsewhere"}
    return [lay_run(runs, predicted(GOOD, known=False)), lay_run(runs, predicted(GOOD, known=False), data=other)]


def twice(runs: Path) -> list[RunFolder]:
    return [lay_run(runs, predicted(GOOD))] * 2


def no_fold(runs: Path) -> list[RunFolder]:
    return [lay_run(runs, predicted(GOOD)), lay_run(runs, planned=3, status=Status.FAILED)]


REFUSED: list[tuple[Callable[[Path], list[RunFolder]], type[HarnessError], str, str, str]] = [
    (
        no_image,
        DataError,
        "A and B have no image in common",
        "B has 60 images of test",
        "the same FOLDER, then harness",
    ),
    (re_encoded, DataError, "no image in common", "60 have the same path but other pixels", "--data FOLDER"),
    (other_classes, DataError, "A and B have different classes", "forest, sea, lake", "runs of the same classes"),
    (
        nothing_known,
        DataError,
        "the images of A and B cannot be matched",
        "images, not elsewhere",
        "harness test model",
    ),
    (twice, UsageError, "are the same run", "both are run", "harness list"),
    (no_fold, UsageError, "has no predictions to compare", "none of its folds has ended", "harness list"),
]


@pytest.mark.parametrize(("lay", "kind", "what", "why", "fix"), REFUSED, ids=[row[0].__name__ for row in REFUSED])
def test_compare_runs_refuses_sides_that_cannot_be_compared(
    runs: Path, lay: Callable[[Path], list[RunFolder]], kind: type[HarnessError], what: str, why: str, fix: str
) -> None:
    with pytest.raises(kind) as caught:
        compared(runs, *lay(runs))
    assert what in caught.value.what
    assert why in caught.value.why
    assert fix.replace("test model", f"test {runs}") in caught.value.fix


def test_compare_runs_needs_two_sides(runs: Path) -> None:
    with pytest.raises(UsageError, match="nothing to compare with"):
        compared(runs, lay_run(runs, predicted(GOOD)))


def test_compare_runs_reads_a_project_of_version_0_1_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLE)
    found = compare_runs(["b7e6", "study-tiny/trial-000", "trial-001"], Path("runs"))
    assert (found.n, found.sides[1].kind) == (12, "trial")
    tests = compare_runs(["1df0", "2a50"], Path("runs"))
    assert (tests.n, tests.to_dict()["matched_by"]) == (6, "paths")
    assert "A and B are tests of the same model" in notes(tests)
    with pytest.raises(DataError, match="the images of A and B cannot be matched"):
        compare_runs(["b7e6", "1df0"], Path("runs"))


def test_disagreements_are_sorted_by_the_probability_of_the_true_class(runs: Path) -> None:
    sure, unsure = predicted("+-", sure=0.99), predicted("--++", first=2, sure=0.6)
    one = Predictions.join([sure, dataclasses.replace(unsure, folds=sure.folds.repeat(2))])
    found = compared(runs, lay_run(runs, one), lay_run(runs, predicted("-+++++")))
    rows = list(found.disagreements())
    assert [row.path for row in rows] == ["forest/0.jpg", "sea/1.jpg", "forest/2.jpg", "sea/3.jpg"]
    assert len(list(found.disagreements(2))) == 2


def test_disagreements_include_images_where_both_are_wrong(runs: Path) -> None:
    classes = ("forest", "sea", "lake")
    one = predicted("--", classes=classes)
    other = dataclasses.replace(one, probabilities=one.probabilities[:, [0, 1, 2]] * 0 + [[0, 0, 1], [0, 0, 1]])
    found = compared(runs, lay_run(runs, one), lay_run(runs, other))
    assert found.pairs[0].verdict().startswith("no difference at all")
    assert [each.said for each in found.disagreements()] == [("sea", "lake")]


def test_p_text_does_not_round_across_the_level() -> None:
    assert [p_text(p) for p in (1.0, 0.0123, 0.05, 0.0499, 0.04999, 0.0)] == [
        *("p 1", "p 0.012", "p 0.05", "p 0.0499", "p 0.04999", "p below 1e-300"),
    ]


def test_label_of_continues_after_z() -> None:
    assert [label_of(number) for number in (0, 25, 26, 27, 51, 52)] == ["A", "Z", "AA", "AB", "AZ", "BA"]
