"""The findings about copies on the first screen of a data check."""

from __future__ import annotations

import dataclasses

from harness.report.copy_findings import copy_findings
from harness.report.finding import CopyGroup, Finding, State
from harness.runs.data_check_record import CheckedImage, CopySet, DataCheckRecord
from tests.report.checked import checked, copies, image


def of(number: int, label: str = "newt", side: str = "train") -> CheckedImage:
    return image(f"{side}/{label}/{number}.jpg", label, side, laid=False)


def lines(record: DataCheckRecord) -> dict[str, Finding]:
    return {each.section: each for each in copy_findings(record)}


CONTRADICTION = copies([of(1), of(1, "toad"), of(1, side="test")], folds=True)
SIDES = copies([of(2), of(2, side="test"), of(3, side="test")])
FOLDS = copies([of(4), of(5)], folds=True)
OTHER = copies([of(6), of(7)])


def test_copy_group_of_returns_the_worst_group() -> None:
    groups = [CopyGroup.of(each) for each in (CONTRADICTION, SIDES, FOLDS, OTHER)]
    assert groups == [CopyGroup.CONTRADICTION, CopyGroup.SIDES, CopyGroup.FOLDS, CopyGroup.OTHER]


def test_copy_findings_count_a_set_in_each_group_that_it_belongs_to() -> None:
    found = lines(checked(copies=[CONTRADICTION, SIDES, FOLDS, OTHER]))
    assert {name: each.figure for name, each in found.items()} == {
        "contradictions": "1",
        "sides": "2",
        "folds": "2",
        "copies": "1",
        "scenes": "",
    }
    assert "1 of these sets is listed further up" in found["sides"].text
    assert [each.state for each in found.values()] == [State.BAD] * 3 + [State.FOUND, State.CLEAR]


def test_copy_findings_count_copied_test_images_and_not_pairs() -> None:
    # visual-layer/fastdup#306 counted pairs as images, and reported 171 % of the data set
    test = [of(number, side="test") for number in range(40)]
    sets: list[CopySet] = [copies([of(number), each]) for number, each in enumerate(test)]
    sets[0] = dataclasses.replace(sets[0], count=700)
    text = lines(checked(copies=sets, copied={"test": 40}))["sides"].text
    assert "40 of 40 test images have a copy among the training images: an accuracy on them is too good" in text
    assert text.startswith("40 sets of copies, 778 images")
    text = lines(checked(copies=sets, copied={"test": 1}, is_cut=True))["sides"].text
    assert text.startswith("at least 40 sets of copies")
    assert "1 of 40 test images has a copy" in text


def test_copy_findings_ignore_copies_within_the_test_images() -> None:
    among_tests = CopySet([of(1, side="valid"), of(1, side="test")], [], False, True, False)
    text = lines(checked(copies=[among_tests]))["sides"].text
    assert "have a copy among" not in text
    assert "has a copy among" not in text


def test_copy_findings_of_an_incomplete_list_are_lower_bounds() -> None:
    found = lines(checked(copies=[CONTRADICTION, FOLDS], more_copies=3))
    assert found["contradictions"].figure == "1"
    assert found["folds"].figure == "2+"
    assert "3 more sets not listed" in found["folds"].text
    assert found["copies"].state is State.UNKNOWN
    assert found["copies"].text == "not known: 3 more sets of copies are not listed"


def test_copy_findings_distinguish_not_found_and_not_checked() -> None:
    found = lines(checked(folds=0))
    assert found["folds"].text == "not checked: these images are not divided into folds"
    assert found["folds"].state is State.UNKNOWN
    assert found["sides"].state is State.CLEAR
