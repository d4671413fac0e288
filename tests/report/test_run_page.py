"""The report of a run: its text, and its safety against hostile names. The second part uses a real browser."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness.evaluation.predictions import Predictions
from harness.report.run_page import run_page
from harness.report.write import require_own
from harness.runs.looks import Looks
from harness.runs.record_parts import FloorRecord, GateRecord, NearCopiesRecord, ResumeRecord, Status
from harness.runs.run_folder import RunFolder
from tests.predicted import lay_run, lay_test, predicted
from tests.report.browser import Page, browser
from tests.report.laid import HOSTILE, NAMES, TAG, TEMPLATE, Tags, lay_pictures

SAID = [(0, 0, 0.9), (0, 1, 0.95), (0, 1, 0.6), (1, 1, 0.8), (1, 2, 0.7), (2, 2, 0.99), (2, 0, 0.5), (3, 3, 0.6)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunFolder, Path]]:
    """A run with hostile names, and its report."""
    home = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        folder = lay_pictures(home, HOSTILE, SAID, ["1.jpg", *NAMES[:1], "2.jpg", "3.jpg", "4.jpg", *NAMES[1:]])
        path = home / "report.html"
        path.write_text(run_page(folder), encoding="utf-8")
        yield folder, path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page_of(folder: RunFolder) -> Tags:
    return Tags(run_page(folder))


def warnings_in(folder: RunFolder) -> str:
    """The text of the warnings above the accuracy."""
    page = run_page(folder)
    return Tags(page.partition('<div class="warnings"')[2].partition("</div>")[0]).text


def test_run_page_escapes_every_name(hostile: tuple[RunFolder, Path]) -> None:
    source = hostile[1].read_text(encoding="utf-8")
    page = Tags(source)
    assert {image["src"][:23] for image in page.all("img")} == {"data:image/jpeg;base64,"}
    assert len(page.all("script")) == 1
    assert not [name for _, values in page.tags for name in values if name.startswith("on")]
    for name in HOSTILE[:3]:
        assert name in page.text
    assert "49" not in page.text.replace("4 of 8", "")
    assert "sea\\u202egpj.exe" in page.text
    assert "\u202e" not in source
    assert [item["data-path"] for item in page.all("li") if '"c&amp;.jpg' in item.get("data-path", "")]


def test_run_page_loads_nothing(hostile: tuple[RunFolder, Path]) -> None:
    page = Tags(hostile[1].read_text(encoding="utf-8"))
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    addresses = [values[name] for _, values in page.tags for name in ("href", "src") if name in values]
    assert {address[:1] if address[:1] == "#" else address[:5] for address in addresses} == {"#", "data:"}
    assert not page.all("link")
    assert not page.all("form")


def test_run_page_links_each_cell_to_its_images(hostile: tuple[RunFolder, Path]) -> None:
    page = Tags(hostile[1].read_text(encoding="utf-8"))
    links = [link for link in page.all("a") if "data-cell" in link]
    ids = {values["id"] for _, values in page.tags if "id" in values}
    assert {link["href"][1:] for link in links} <= ids
    assert {link["aria-label"] for link in links} >= {
        f"2 of class {TAG} predicted as {TEMPLATE}: show images",
        f"1 of class {TAG} predicted as {TAG}: show images",
    }


def test_run_page_can_be_read_by_a_screen_reader(hostile: tuple[RunFolder, Path]) -> None:
    page = Tags(hostile[1].read_text(encoding="utf-8"))
    assert page.all("html") == [{"lang": "en"}]
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in head for head in page.all("th"))
    assert all(image["alt"] for image in page.all("img"))
    assert all("aria-label" in drawing or "aria-hidden" in drawing for drawing in page.all("svg"))
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(ids) == len({*ids})
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}


def test_run_page_shows_the_question_and_the_accuracy(home: Path) -> None:
    folder = lay_pictures(home, ("forest", "sea"), [(0, 0, 0.9)] * 30 + [(1, 1, 0.9)] * 28 + [(1, 0, 0.8)] * 2)
    fields = {"model": "small_cnn", "image_size": 64, "freeze": "layer3", "epochs": 8, "folds": 5, "optimizer": "adam"}
    folder.update(experiment=fields, device="cpu", threads=2, weights="ImageNet")
    text = page_of(folder).text
    low, high = folder.record.interval or (0, 0)
    assert f"96.7 % out-of-fold accuracy 95 % interval {100 * low:.1f} to {100 * high:.1f} %, n = 60 images" in text
    assert "Which of 2 classes does an image show: “forest”, “sea”?" in text
    assert "50.0 % by always predicting the most frequent class" in text
    assert "small_cnn at 64 px; weights ImageNet, frozen up to layer3" in text
    assert "8 epochs, adam with lr" in text
    assert "cpu with 2 threads" in text
    assert "2 of 60 predictions are wrong" in text
    assert f"harness reproduce {folder.id}" in text


def test_run_page_shows_the_same_numbers_as_the_record(home: Path) -> None:
    folder = lay_pictures(home, ("forest", "sea"), [(0, 0, 0.9)] * 30 + [(1, 1, 0.7)] * 28 + [(1, 0, 0.8)] * 2)
    record, text = folder.record, page_of(folder).text
    assert record.uncalibrated is not None
    assert f"uncalibrated {100 * record.uncalibrated.error:.1f} %" in text
    sea = record.per_class["sea"]
    assert f"sea {sea.precision:.3f} {sea.recall:.3f} {sea.f1:.3f} 30" in text
    assert f"brier {record.metrics['brier']:.4f}" in text


def test_run_page_of_a_complete_run_has_no_warnings(home: Path) -> None:
    assert warnings_in(lay_run(Path("runs"), predicted("+" * 59 + "-"))) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"leaked": 12},
            "Leak: the model was trained on 12 of the 60 images that it was evaluated on, so the accuracy is too good.",
        ),
        (
            {"near_copies": NearCopiesRecord(2, 0.5, [0.4, 0.6], 58), "experiment": {"folds": 3}},
            "Near copies: 2 of 60 images have a near copy in the training set of their fold; without them 50.0 % "
            "(95 % interval 40.0 to 60.0 %, n = 58).",
        ),
        ({"fast_dev_run": True}, "Fast dev run: trained on two batches to check that everything works."),
        (
            {"status": Status.INTERRUPTED, "error": "KeyboardInterrupt"},
            "Unfinished: the run was interrupted (KeyboardInterrupt), and 1 of 3 folds has ended.",
        ),
        (
            {"judged": None, "epoch": 1},
            "Optimistic: the best epoch of each fold was chosen on the images that evaluate it.",
        ),
        ({"baseline": 0.99}, "Not clearly better than the baseline: the 95 % interval is not completely above"),
        (
            {"resumes": [ResumeRecord("2026-01-01T00:00:00+00:00", Status.INTERRUPTED, forced=True)]},
            "Forced to resume with another experiment or other images",
        ),
        ({"experiment": {"folds": 4, "repeats": 1}}, "Folds are missing: only fold 1 of 4 was selected."),
    ],
    ids=["leaked", "near copies", "fast dev run", "unfinished", "best epoch", "baseline", "forced", "one fold"],
)
def test_run_page_warns_beside_the_accuracy(home: Path, changes: dict[str, Any], says: str) -> None:
    folder = lay_run(Path("runs"), predicted("+" * 59 + "-"), planned=3 if "error" in changes else None)
    epoch = changes.pop("epoch", None)
    folds = [dataclasses.replace(entry, epoch=epoch or entry.epoch) for entry in folder.record.folds]
    folder.update(folds=folds, **changes)
    assert says in warnings_in(folder)


@pytest.mark.parametrize("passed", [True, False])
def test_run_page_of_a_test_shows_whether_the_gate_is_passed(home: Path, passed: bool) -> None:
    floor = FloorRecord("recall of sea", 0.95, [0.8, 0.99], 0.9 if passed else 0.97, passed)
    looks = Looks(tests=4, images=60, n=60, models=3, luck=0.012)
    folder = lay_test(
        Path("runs"), predicted("+" * 57 + "-" * 3), gate=GateRecord(passed, 0.9, floors=[floor]), looks=looks
    )
    text = page_of(folder).text
    assert ("✓ gate passed" if passed else "✗ gate not passed") in text
    least = "90.0" if passed else "97.0"
    assert f"recall of sea >= {least} %: {'passed' if passed else 'NOT passed'}, with 95.0 %" in text
    assert "Not the first test: this is test number 4 on these 60 images, with 3 models so far" in text


def test_run_page_of_a_foreign_run_shows_no_image(home: Path) -> None:
    folder = lay_pictures(home, ("forest", "sea"), [(0, 0, 0.9)] * 5 + [(1, 0, 0.9)])
    assert page_of(folder).all("img")
    (home / ".harness/runs.jsonl").unlink()
    page = page_of(folder)
    assert not page.all("img")
    assert "The images are not shown: this result was not made in this project" in page.text
    assert "sea/005.jpg" in page.text


def test_run_page_counts_missing_images(home: Path) -> None:
    folder = lay_pictures(home, ("forest", "sea"), [(0, 0, 0.9)] * 5 + [(1, 0, 0.9)] * 2)
    (home / "images/sea/005.jpg").unlink()
    (home / "images/sea/006.jpg").write_bytes(b"\xff\xd8\xff no more")
    page = page_of(folder)
    assert len(page.all("img")) == 5
    gallery = run_page(folder).partition('id="gallery"')[2].partition("</ul>")[0]
    assert gallery.count("image cannot be read") == 2
    assert "2 of the 7 images could not be read" in page.text


def test_run_page_contains_no_user_and_no_private_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna.smith")
    folder = lay_run(
        Path("runs"),
        predicted("+" * 60),
        data={"folder": "/data/anna.smith/secret place/photos/train"},
        experiment={"data": "/data/anna.smith/secret place/photos/train", "weights": "/home/anna.smith/w/net.pth"},
        command=["harness", "run", "x", "-s", "data=/Users/anna.smith/photos", f"--out={home}/here"],
        notes=["weights are /home/anna.smith/w/net.pth", r"C:\Users\anna.smith\w: not used"],
        host="annas-laptop",
        stores={"mlflow": "http://anna.smith@tracking.example.org"},
        resumes=[ResumeRecord("2026-01-01T00:00:00+00:00", Status.DIED, differs=["host: annas-laptop then, lab now"])],
        error="/home/anna.smith/x.py failed",
        status=Status.INTERRUPTED,
    )
    page = run_page(folder)
    for word in ("anna", "laptop", "tracking.example", str(home), "secret place"):
        assert word not in page, word
    assert "…/photos/train" in Tags(page).text
    assert "what differed: another machine" in Tags(page).text


def test_run_page_of_many_classes_lists_the_most_frequent_confusions(home: Path) -> None:
    classes = tuple(f"class {i:03d}" for i in range(120))
    labels = np.repeat(np.arange(120), 5)
    shares = np.full((600, 120), 0.1 / 119)
    said = np.where(np.arange(600) % 5 < 2, (labels + 1) % 120, labels)
    said[:5] = 7
    shares[np.arange(600), said] = 0.9
    paths = tuple(f"{classes[label]}/{i}.jpg" for i, label in enumerate(labels))
    found = Predictions(classes, paths, np.ones(600, np.int64), labels, shares)
    page = page_of(lay_run(Path("runs"), found, data={"classes": dict.fromkeys(classes, 5)}))
    assert "Most frequent confusions; 70 more are not listed" in page.text
    assert "class 000 class 007 5 100.0 %" in page.text
    assert len([image for image in page.all("img") if image["src"].startswith("data:image/png")]) == 1


def test_run_page_of_1000_images_is_below_5_mb(home: Path) -> None:
    random = np.random.default_rng(0)
    folder = lay_pictures(home, ("forest", "sea"), [(i % 2, i % 2 if i % 9 else 1 - i % 2, 0.8) for i in range(1000)])
    from PIL import Image

    for number, path in enumerate(sorted((home / "images").rglob("*.jpg"))):
        if number < 40:  # JPEG cannot compress noise well
            noise = Image.fromarray(random.integers(0, 256, (150, 150, 3), dtype=np.uint8))
            noise.save(path.with_suffix(".jpg"), quality=95)
            worst = path.read_bytes()
        else:
            path.write_bytes(worst)
    page = run_page(folder)
    assert len(page.encode()) < 5_000_000
    shown = len(Tags(page.partition('id="gallery"')[2].partition("</ul>")[0]).all("img"))
    assert 112 < shown < 1000  # all errors, and right predictions until the page is full
    assert "112 of 1,000 predictions are wrong" in Tags(page).text
    assert f"{shown - 112:,} of the 888 right predictions are listed" in Tags(page).text


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


VISIBLE = "[...document.querySelectorAll('#gallery > li')].filter(i => i.checkVisibility())"


def test_run_page_in_a_browser_runs_no_name_and_loads_nothing(hostile: tuple[RunFolder, Path], chromium: Page) -> None:
    chromium.look(1280)
    chromium.open(hostile[1].as_uri())
    assert chromium.ask("document.title") == "tiny: report of a run"
    assert chromium.said == []
    assert [address for address in chromium.asked if not address.startswith("data:")] == [hostile[1].as_uri()]
    assert chromium.ask("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert chromium.ask("document.querySelector('.matrix tbody th').textContent") == TAG


def test_run_page_in_a_browser_shows_the_images_of_a_cell_by_address(
    hostile: tuple[RunFolder, Path], chromium: Page
) -> None:
    chromium.open(f"{hostile[1].as_uri()}#cell-0-1")
    assert chromium.ask(f"{VISIBLE}.map(i => i.dataset.cell)") == ["cell-0-1", "cell-0-1"]
    assert chromium.ask("document.getElementById('status').textContent").startswith("2 images are listed: class <img")


def test_run_page_in_a_browser_shows_the_images_of_a_cell_by_keyboard(
    hostile: tuple[RunFolder, Path], chromium: Page
) -> None:
    chromium.open(hostile[1].as_uri())
    assert chromium.ask(f"{VISIBLE}.length") == 4  # the errors
    chromium.ask("document.querySelector('a[data-cell=cell-0-1]').focus()")
    chromium.press("Tab")
    assert chromium.ask("document.activeElement.dataset.cell") == "cell-1-1"
    chromium.press("Enter")
    assert chromium.ask(f"{VISIBLE}.map(i => i.dataset.cell)") == ["cell-1-1"]
    assert chromium.ask("location.hash") == "#cell-1-1"
    assert chromium.ask("document.activeElement.id") == "h-images"


def test_run_page_in_a_browser_sorts_images_and_tables(hostile: tuple[RunFolder, Path], chromium: Page) -> None:
    chromium.open(hostile[1].as_uri())
    shares = f"{VISIBLE}.map(i => Number(i.dataset.share))"
    assert chromium.ask(shares) == [0.95, 0.7, 0.6, 0.5]
    sort = "(s => {{ s.value = '{}'; s.dispatchEvent(new Event('change')); }})(document.getElementById('sort'))"
    chromium.ask(sort.format("unsure"))
    assert chromium.ask(shares) == [0.5, 0.6, 0.7, 0.95]
    images = "[...document.querySelectorAll('#classes tbody td:last-child')].map(c => Number(c.textContent))"
    assert chromium.ask(images) == [3, 2, 2, 1]
    chromium.ask("document.querySelector('#classes th:last-child button').click()")
    assert chromium.ask(images) == [1, 2, 2, 3]
    assert chromium.ask("document.querySelector('#classes th:last-child').getAttribute('aria-sort')") == "ascending"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_run_page_in_a_browser_fits_its_window_and_has_enough_contrast(
    hostile: tuple[RunFolder, Path], chromium: Page, width: int, dark: bool
) -> None:
    chromium.look(width, dark=dark)
    chromium.open(hostile[1].as_uri())
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask(LOW_CONTRAST) == []


def test_run_page_in_a_browser_works_without_scripts(hostile: tuple[RunFolder, Path], chromium: Page) -> None:
    chromium.send("Emulation.setScriptExecutionDisabled", value=True)
    chromium.open(f"{hostile[1].as_uri()}#cell-0-1")
    assert chromium.ask(f"{VISIBLE}.length") == 8
    assert not chromium.ask("document.getElementById('controls').checkVisibility()")
    assert chromium.ask("document.querySelector(':target').dataset.cell") == "cell-0-1"
    chromium.send("Emulation.setScriptExecutionDisabled", value=False)


def test_run_page_in_a_frame_of_mlflow_shows_the_images_of_a_cell(
    hostile: tuple[RunFolder, Path], chromium: Page, tmp_path: Path
) -> None:
    chromium.look(1280)
    chromium.open_in_frame(hostile[1].read_text(encoding="utf-8"), tmp_path / "around.html")
    chromium.ask("document.querySelector('a[data-cell=cell-0-1]').click()")
    assert chromium.ask(f"{VISIBLE}.map(i => i.dataset.cell)") == ["cell-0-1", "cell-0-1"]
    chromium.ask("document.querySelector('nav a[href=\"#provenance\"]').click()")
    chromium.wait("document.getElementById('provenance').getBoundingClientRect().top < innerHeight")
    assert chromium.ask("document.title") == "tiny: report of a run"
    assert chromium.said == []
    chromium.leave_frame()


# Finds texts with a contrast to their background below 4.5, or below 3 if they are large: WCAG 2, level AA
LOW_CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const paint = colours => {
    canvas.clearRect(0, 0, 1, 1);
    colours.forEach(c => { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); });
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const box = node.parentElement;
    if (!node.data.trim() || !box.checkVisibility() || box.closest('script, .quiet, .skip, option')) continue;
    const behind = [];
    for (let e = box; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
    const style = getComputedStyle(box), inSvg = box.closest('svg');
    const ground = paint(behind), ink = paint([...behind, inSvg ? style.fill : style.color]);
    const [high, low] = [light(ground), light(ink)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05), large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) bad.push(node.data.trim().slice(0, 40) + ' ' + ratio.toFixed(2));
  }
  return bad;
})()"""


def test_require_own_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.html")
    with pytest.raises(UsageError, match="is not a regular file"):
        require_own(tmp_path / "pipe.html", force=False)
