from __future__ import annotations

import os
import time

import pytest

from harness.util.parallel import in_threads


def test_in_threads_keeps_the_order() -> None:
    assert list(in_threads(lambda number: number * number, range(100))) == [number * number for number in range(100)]


# treeverse/dvc#2792, python/cpython#125886: after Ctrl-C, a thread pool still did all queued work
def test_in_threads_starts_no_more_calls_after_an_error() -> None:
    started = []

    def work(number: int) -> int:
        started.append(number)
        time.sleep(0.02)
        if number == 0:
            raise KeyboardInterrupt
        return number

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(work, range(1000)))
    assert len(started) <= 4 * (os.cpu_count() or 1)
