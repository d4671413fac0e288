from __future__ import annotations

import numpy as np
import pytest

from harness.cli.output import WIDTH
from harness.cli.scores_text import class_table, confusion_table
from harness.evaluation.scores import ClassScore

LONG = [f"class {number} with a long name that says all that an image may show, and much more" for number in range(10)]


def test_class_table_cuts_long_names() -> None:
    lines = class_table([ClassScore(name, 0.5, 1.0, 0.25, 12) for name in ("sea", *LONG[:3])])
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) + 2 <= WIDTH
    assert lines[1].split() == ["sea", "0.500", "1.000", "0.250", "12"]
    assert lines[2].startswith("class 0 with")


@pytest.mark.parametrize("count", [2, 3, 5, 7, 10])
@pytest.mark.parametrize("length", [3, 12, 80])
def test_confusion_table_fits(count: int, length: int) -> None:
    counts = np.arange(count * count).reshape(count, count) * 100
    header, *rows = confusion_table([f"{name[: length - 1]}{i}" for i, name in enumerate(LONG[:count])], counts)
    assert max(map(len, [header, *rows])) <= WIDTH
    assert [row.split()[-count:] for row in rows] == [[str(number) for number in row] for row in counts]
    assert len(set(rows)) == count


def test_confusion_table_has_short_names_as_they_are() -> None:
    assert confusion_table(["sea", "forest"], np.array([[3, 1], [0, 12]])) == [
        "true       predicted       sea     forest",
        "sea                          3          1",
        "forest                       0         12",
    ]


def test_tables_of_many_classes_are_left_out() -> None:
    assert class_table([ClassScore(str(number), 0.5, 1.0, 0.25, 12) for number in range(11)]) == []
    assert confusion_table([str(number) for number in range(11)], np.zeros((11, 11), int)) == []
