from __future__ import annotations

from harness.runs.short_ids import short_ids


def test_short_ids_are_the_shortest_ends_that_differ() -> None:
    ids = {"a": "20260101-000000-abcd", "b": "20260102-000000-1234", "c": "20260102-000001-1234"}
    assert short_ids(ids) == {"a": "abcd", "b": "0-1234", "c": "1-1234"}


def test_short_ids_of_copies_are_their_paths() -> None:
    assert short_ids({"runs/a": "x-abcd", "runs/b": "x-abcd"}) == {"runs/a": "runs/a", "runs/b": "runs/b"}


def test_short_ids_of_none() -> None:
    assert short_ids({}) == {}
