"""Calls a function for many items in parallel."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def in_threads(function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Yields `function(item)` for each item, in order, computed on all cores. Only a few results are computed ahead."""
    workers = os.cpu_count() or 1
    left = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[U]] = deque(pool.submit(function, item) for item in islice(left, 16 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(left, 1))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C or an error, the other items are not needed
