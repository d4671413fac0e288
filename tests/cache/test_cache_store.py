from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.cache import rows as module
from harness.cache import store
from harness.cache.recipe import Recipe
from harness.cache.store import Cache, open_cache
from harness.errors import UsageError
from tests.conftest import wait

RECIPE = Recipe("features", "numbers", {"weights": "a", "size": 32})
ITEMS = [f"image{i}" for i in range(10)]


class Making:
    """Computes rows of three numbers from items; records the requested items."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, items: Sequence[str]) -> Iterator[np.ndarray[Any, Any]]:
        for start in range(0, len(items), 4):
            self.asked += items[start : start + 4]
            yield expected(items[start : start + 4])


def expected(items: Sequence[str]) -> np.ndarray[Any, Any]:
    return np.array([[int(item.removeprefix("image")), 1, 2] for item in items], np.float32)


def rows(cache: Cache, items: Sequence[str] = ITEMS, recipe: Recipe = RECIPE) -> list[str]:
    """Requests and checks rows, and returns the items that were computed."""
    making = Making()
    cached = cache.rows(recipe, items, making)
    assert np.array_equal(cached.take(cached.positions(items)), expected(items))
    return making.asked


def test_rows_are_found_again_in_any_order(tmp_path: Path) -> None:
    assert rows(Cache(tmp_path)) == ITEMS
    assert rows(Cache(tmp_path)) == []
    assert rows(Cache(tmp_path), ITEMS[::-1]) == []
    assert rows(Cache(tmp_path), [*ITEMS, ITEMS[3]]) == []  # a copy of an image is the same item


def test_key_depends_on_every_part(tmp_path: Path) -> None:
    rows(Cache(tmp_path))
    for other in (
        Recipe("images", "numbers", RECIPE.parts),
        Recipe("features", "numbers", {**RECIPE.parts, "weights": "b"}),
        Recipe("features", "numbers", {**RECIPE.parts, "more": None}),
    ):
        assert rows(Cache(tmp_path), recipe=other) == ITEMS
    assert len(Cache(tmp_path).entries()) == 4
    assert rows(Cache(tmp_path), recipe=Recipe("features", "otherwise called", RECIPE.parts)) == []


def test_rows_computes_only_missing_items(tmp_path: Path) -> None:
    rows(Cache(tmp_path), ITEMS[:7])
    assert rows(Cache(tmp_path)) == ITEMS[7:]
    assert rows(Cache(tmp_path), ITEMS[2:9]) == []  # copied from a larger entry


@pytest.mark.parametrize("harm", ["flipped", "short", "long", "record", "half"])
def test_rows_warns_about_a_damaged_entry_and_computes_it_again(tmp_path: Path, harm: str) -> None:
    rows(Cache(tmp_path))
    (data,), (record,) = tmp_path.glob("*.rows"), tmp_path.glob("*.json")
    content = data.read_bytes()
    match harm:
        case "flipped":
            data.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
        case "short":
            data.write_bytes(content[:-4])
        case "long":
            data.write_bytes(content + b"0000")
        case "record":
            record.write_text(record.read_text()[:-20])
        case "half":
            record.unlink()  # the record is written last
    lines: list[str] = []
    assert rows(Cache(tmp_path, print_line=lines.append)) == ITEMS
    assert [line for line in lines if "is damaged" not in line] == []
    assert bool(lines) == (harm != "half")
    assert rows(Cache(tmp_path)) == []


def test_rows_removes_the_least_recently_used_entry(tmp_path: Path) -> None:
    recipes = [Recipe("features", str(i), {"number": i}) for i in range(4)]
    for age, recipe in enumerate(recipes[:3]):
        rows(Cache(tmp_path), recipe=recipe)
        os.utime(tmp_path / f"{recipe.key(ITEMS)}.json", (1000 + age, 1000 + age))
    rows(Cache(tmp_path), recipe=recipes[0])  # the most recently used
    size = max(entry.bytes for entry in Cache(tmp_path).entries())
    rows(Cache(tmp_path, limit=3 * size), recipe=recipes[3])
    assert {entry.about for entry in Cache(tmp_path).entries()} == {"0", "2", "3"}
    rows(Cache(tmp_path, limit=1), recipe=recipes[1])
    assert [entry.about for entry in Cache(tmp_path).entries()] == ["1"]
    assert len(list(tmp_path.glob("*.rows"))) == 1


def test_rows_are_in_memory_if_they_cannot_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    lines: list[str] = []
    assert rows(Cache(tmp_path / "file/below", print_line=lines.append)) == ITEMS
    assert "cannot be stored" in lines[0]
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert rows(Cache(tmp_path / "full", print_line=lines.append)) == [
        *ITEMS[:4],
        *ITEMS,
    ]  # the first lines say how much it needs
    assert "only 0.0 GB are free" in lines[1]
    assert list((tmp_path / "full").glob("*.part")) == []


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from harness.cache.recipe import Recipe
from harness.cache.store import Cache
folder, mark, go = map(Path, sys.argv[1:])

def make(items):
    with mark.open("a") as file:
        file.write("made\\n")
    for item in items:
        yield np.array([[int(item), 1, 2]], np.float32)
        while not go.exists():
            time.sleep(0.01)

cache = Cache(folder, print_line=lambda text: print(text, flush=True))
rows = cache.rows(Recipe("features", "x", {}), list("0123456789"), make)
assert rows.take(rows.positions("37")).tolist() == [[3, 1, 2], [7, 1, 2]]
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """Starts a process that computes an entry, and waits after the first row until the file `go` exists."""
    command = [sys.executable, "-c", SCRIPT, str(folder), str(folder.parent / "mark"), str(folder.parent / "go")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_rows_are_computed_by_one_process_while_others_wait(tmp_path: Path) -> None:
    first = start(tmp_path / "cache")
    wait(lambda: list((tmp_path / "cache").glob("*.part")))
    others = [start(tmp_path / "cache") for _ in range(2)]
    waiting = [process.stdout.readline() for process in others if process.stdout is not None]
    assert waiting == [f"process {first.pid} computes the features of x: waiting for it\n"] * 2
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=60)[0] for process in (first, *others)]
    assert outputs == [""] * 3
    assert [process.returncode for process in (first, *others)] == [0, 0, 0]
    assert (tmp_path / "mark").read_text() == "made\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_rows_are_computed_by_a_waiting_process_if_the_other_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    process = start(folder)
    wait(lambda: list(folder.glob("*.part")))
    waiting, stopped = start(folder), start(folder)
    for each in (waiting, stopped):
        assert each.stdout is not None
        assert str(process.pid) in each.stdout.readline()
    stopped.send_signal(signal.SIGINT)  # Ctrl-C ends the wait
    stopped.communicate(timeout=30)
    assert stopped.returncode != 0
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (tmp_path / "go").touch()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert (tmp_path / "mark").read_text() == "made\nmade\n"
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".lock", ".rows"]


def test_rows_removes_unfinished_files_after_a_day(tmp_path: Path) -> None:
    old, young = (tmp_path / f"{digit * 32}-00000000.part" for digit in "01")
    for part in (old, young):
        part.write_text("x")
    os.utime(old, (time.time() - 90_000,) * 2)
    rows(Cache(tmp_path))
    assert (old.exists(), young.exists()) == (False, True)


def test_clear_does_not_remove_an_entry_in_use(tmp_path: Path) -> None:
    rows(Cache(tmp_path / "cache"))
    process = start(tmp_path / "cache")
    wait(lambda: list((tmp_path / "cache").glob("*.part")))
    lines: list[str] = []
    assert Cache(tmp_path / "cache", print_line=lines.append).clear() == 1
    assert [line.partition(" ")[2] for line in lines] == [f"is not removed: process {process.pid} is using it"]
    assert rows(Cache(tmp_path / "cache", limit=1)) == ITEMS  # this removes entries beyond the limit
    (tmp_path / "go").touch()
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 0
    assert (tmp_path / "mark").read_text() == "made\n"
    assert len(Cache(tmp_path / "cache").entries()) == 2


@pytest.mark.skipif(os.name != "posix", reason="file permissions differ on Windows")
@pytest.mark.parametrize(("rights", "of_lock"), [(0o700, 0o600), (0o775, 0o664), (0o777, 0o666)])
def test_rows_lock_has_the_permissions_of_the_folder(tmp_path: Path, rights: int, of_lock: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(rights)
    before = os.umask(0o077)
    try:
        rows(Cache(folder))
    finally:
        os.umask(before)
    (lock,) = folder.glob("*.lock")
    assert lock.stat().st_mode & 0o777 == of_lock


def test_clear_removes_some_or_all(tmp_path: Path) -> None:
    keys = []
    for number in range(3):
        recipe = Recipe("features", str(number), {"number": number})
        rows(Cache(tmp_path), recipe=recipe)
        keys.append(recipe.key(ITEMS))
    (tmp_path / "mine.txt").write_text("x")
    (tmp_path / f"{keys[0]}-00000000.part").write_text("x")
    (tmp_path / "uv.lock").write_text("x")
    (tmp_path / "package.json").write_text("{}")
    cache = Cache(tmp_path)
    with pytest.raises(UsageError, match="no entry begins with 'zz'"):
        cache.clear(["zz"])
    assert cache.clear([keys[0][:6]]) == 1
    assert {entry.key for entry in cache.entries()} == set(keys[1:])
    assert cache.clear() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "package.json", "uv.lock"]
    with pytest.raises(UsageError, match="no entry begins with ''"):
        cache.clear([""])
    assert Cache(tmp_path / "nowhere").clear() == 0


def test_known_returns_the_rows_of_all_entries_of_a_recipe(tmp_path: Path) -> None:
    for items in (ITEMS[:2], ITEMS[5:7]):
        rows(Cache(tmp_path), items)
    rows(Cache(tmp_path), ITEMS[8:], Recipe("images", "x", {"weights": "b", "size": 32}))
    (tmp_path / "odd.json").write_text(json.dumps(["odd"]))
    known = Cache(tmp_path).known(RECIPE)
    assert known.keys() == {*ITEMS[:2], *ITEMS[5:7]}
    assert np.array_equal([known[item] for item in sorted(known)], expected(sorted(known)))


def test_open_cache_reads_the_limit_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_GB", "1.5")
    assert open_cache().limit == 1_500_000_000
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("HARNESS_CACHE_GB", wrong)
        with pytest.raises(UsageError, match="is not a size"):
            open_cache()


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="this system has no preadv")
def test_rows_of_a_large_file_are_equal_and_not_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [str(i) for i in range(64)]

    def make(wanted: Sequence[str]) -> Iterator[np.ndarray[Any, Any]]:
        return (np.full((1, 2**10), int(item), np.int16) for item in wanted)

    readers = []
    for most in (module.MAPPED, 0):
        monkeypatch.setattr(module, "MAPPED", most)
        readers.append(Cache(tmp_path).rows(Recipe("images", "x", {}), items, make))
    mapped, read = readers
    places = [5, 63, 0, 5]
    assert np.array_equal(mapped.take(places), read.take(places))
    assert read.take(places)[:, 7].tolist() == places
    maps = Path("/proc/self/maps")
    assert not maps.exists() or sum(str(tmp_path) in line for line in maps.read_text().splitlines()) == 1
    Cache(tmp_path).clear()
    assert np.array_equal(mapped.take(places), read.take(places))  # an open file stays readable


def test_rows_that_cannot_be_stored_cause_one_warning_and_leave_no_file(tmp_path: Path) -> None:
    """The rows are written, but the record cannot be: a folder has its name."""
    lines: list[str] = []
    cache = Cache(tmp_path, print_line=lines.append)
    for items in (ITEMS[:5], ITEMS[5:]):
        (tmp_path / f"{RECIPE.key(items)}.json").mkdir()
        rows(cache, items)
    assert sum("cannot be stored" in line for line in lines) == 1
    assert not [*tmp_path.glob("*.rows"), *tmp_path.glob("*.part")]
