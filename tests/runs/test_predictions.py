from __future__ import annotations

import pytest

from harness.evaluation.accuracy import Prediction
from harness.runs.predictions import predictions_csv, read_predictions


def test_the_table_of_predictions() -> None:
    table = predictions_csv([Prediction('sea/a, "b".jpg', 2, "sea", "sea", (0.25, 0.75))], ["forest", "sea"]).decode()
    assert table == 'path,fold,label,predicted,p_forest,p_sea\n"sea/a, ""b"".jpg",2,sea,sea,0.25,0.75\n'


def test_the_table_is_read_back_as_it_was_written() -> None:
    names = ["ça", 'a "b"', "x,y"]
    rows = [
        Prediction("ça/\udcff,1.jpg", 1, "ça", "x,y", (1 / 3, 1e-300, 2 / 3)),
        Prediction('a "b"/new\nline.jpg', 12, 'a "b"', 'a "b"', (0.1, 0.9, 0.0)),
    ]
    assert read_predictions(predictions_csv(rows, names)) == rows
    assert read_predictions(predictions_csv([], names)) == []
    for damaged in (b"", b"hello\n", predictions_csv(rows, names).replace(b",12,", b",?,")):
        with pytest.raises((ValueError, IndexError)):
            read_predictions(damaged)
