"""The page of a data check: its text for each kind of finding, and its safety against hostile names."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import UsageError
from harness.report.data_page import data_page
from harness.report.write import write_data_report
from harness.runs.data_check_record import CopyKind, DataCheckRecord, OddKind, SidesRecord
from tests.report.checked import checked, copies, everything, hostile_record, image, odd, suspect
from tests.report.laid import HOSTILE, Tags, picture

SECTIONS = ["contradictions", "sides", "folds", "copies", "labels", "shortcut", "likeness", "odd"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page_of(record: DataCheckRecord) -> Tags:
    return Tags(data_page(record))


def section(record: DataCheckRecord, name: str) -> Tags:
    """One section of the page of `record`."""
    return Tags(data_page(record).partition(f'<section id="{name}"')[2].partition("</section>")[0])


def test_data_page_lists_the_checked_images_and_no_findings(home: Path) -> None:
    page = page_of(checked())
    assert "240 images were checked" in page.text
    assert "Training 200 images in 2 classes, from 100 to 100 each" in page.text
    assert "Test 40 images in 2 classes, from 20 to 20 each" in page.text
    assert page.text.count("nothing found") == 8
    assert page.text.count("no difference found") == 1
    assert "“Nothing found” does not prove that there is no problem." in page.text
    assert not page.all("img")


def test_data_page_links_each_finding_to_its_section(home: Path) -> None:
    page = page_of(everything())
    ids = {values["id"] for _, values in page.tags if "id" in values}
    links = [link["href"][1:] for link in page.all("a") if link["href"] != "#main"]
    assert links[:8] == SECTIONS
    assert {*links} <= ids
    assert len(page.all("img")) == 11  # all except the image that cannot be decoded


def test_data_page_shows_the_images_of_a_set_together(home: Path) -> None:
    found = section(everything(), "sides")
    assert len(found.all("img")) == 2
    assert "near copy, mirrored: 3 of 63 bits of the hash differ, agreement of detail 0.981" in found.text
    assert "newt, training train/newt/2.jpg" in found.text
    assert "newt, test test/newt/2.jpg" in found.text


def test_data_page_shows_a_file_that_a_table_lists_with_two_labels(home: Path) -> None:
    record = checked(copies=[copies([image("train/1.jpg"), image("train/1.jpg", "toad")])])
    found = section(record, "contradictions")
    assert "newt, training train/1.jpg" in found.text
    assert "toad, training train/1.jpg" in found.text


def test_data_page_shows_the_auc_with_its_interval(home: Path) -> None:
    record = everything()
    assert "a very large difference: AUC 0.93, 95 % interval 0.88 to 0.96" in page_of(record).text
    found = section(record, "likeness")
    assert "AUC 0.93, 95 % interval 0.88 to 0.96, n = 200 training and 40 test images" in found.text
    assert "in 93 of 100 pairs" in found.text
    (line,) = [drawing for drawing in found.all("svg") if "aria-label" in drawing]
    assert line["aria-label"] == "AUC 0.93, 95\u00a0% interval 0.88 to 0.96, on a line from 0.5 to 1"


@pytest.mark.parametrize(
    ("auc", "interval", "says"),
    [
        (0.52, [0.42, 0.62], "No difference was found: the interval includes 0.5"),
        (0.44, [0.31, 0.57], "No difference was found: the interval includes 0.5"),
        (0.62, [0.55, 0.69], "a small difference. Given one training and one test image, a classifier finds the test"),
        (0.62, [0.55, 0.69], "finds the test image in 62 of 100 pairs"),
        (0.999, [0.99, 1.0], "finds the test image in nearly all pairs"),
    ],
)
def test_data_page_explains_an_auc_in_words(home: Path, auc: float, interval: list[float], says: str) -> None:
    record = checked(sides=[SidesRecord("train", "test", auc, interval, (200, 40))])
    assert says in section(record, "likeness").text


def test_data_page_shows_file_properties_that_predict_a_class(home: Path) -> None:
    found = section(everything(), "shortcut")
    assert "98.0 % of the images (95 % interval 95.0 to 99.0 %, n = 200 images)" in found.text
    assert "Always predicting the most frequent class gives 50.0 %" in found.text
    assert "newt format PNG 99 of 100 (99.0 %) 3 of 840 (0.4 %) < 0.001" in found.text


def test_data_page_lists_suspects_in_a_table_with_their_reason(home: Path) -> None:
    found = section(everything(), "labels")
    assert "train/newt/6.jpg newt toad 3.0 % 97.0 % training toad is more probable than newt" in found.text
    assert "label newt, 3.0 %likely toad, 97.0 %" in found.text


def test_data_page_lists_unusual_images_with_the_reason(home: Path) -> None:
    record = everything()
    assert "1 cannot be decoded, 1 dark" in page_of(record).text
    found = section(record, "odd")
    assert "Cannot be decoded: 1" in found.text
    assert "train/toad/8.jpg toad training cut" in found.text
    assert "mean brightness 4 of 255" in found.text


def test_data_page_reports_too_many_unusual_images(home: Path) -> None:
    note = "dark: 90 of 240 images, too many to be exceptions, and not listed one by one"
    text = page_of(checked(notes=[note])).text
    assert f"many Unreadable and unusual images{note}" in " ".join(text.split())
    assert text.count("nothing found") == 7


def test_data_page_shows_deep_images_in_the_range_of_the_data_set(home: Path) -> None:
    found = image("train/newt/1.png")
    Image.fromarray(np.full((40, 40), 200, np.uint16)).save("images/train/newt/1.png")  # of 4095
    record = checked(odd=[odd(found)])
    brightness = []
    for value_range in (None, (0.0, 4095.0)):
        (shown,) = Tags(data_page(record, value_range=value_range)).all("img")
        content = base64.b64decode(shown["src"].partition(",")[2])
        brightness.append(np.asarray(Image.open(io.BytesIO(content))).mean())
    assert brightness[0] > 150
    assert brightness[1] == pytest.approx(200 / 4095 * 255, abs=2)


def test_data_page_says_what_was_not_checked_and_why(home: Path) -> None:
    bare = checked(counts={"train": {"newt": 3}}, features="", probabilities="", shortcut=None, sides=[], folds=0)
    text = page_of(bare).text
    for why in (
        "not checked: there is only one class",
        "not checked: these images are not divided into folds",
        "not checked: there are no out-of-fold probabilities",
        "not checked: there are too few images",
    ):
        assert why in text, why
    assert text.count("not checked: only one set of images was checked") == 2
    assert text.count("nothing found") == 2
    without_model = page_of(dataclasses.replace(checked(), features="", sides=[])).text
    assert "not checked: there are no features of a model" in without_model


def test_data_page_without_images_in_the_data_is_valid(home: Path) -> None:
    empty = checked(counts={}, features="", probabilities="", shortcut=None, sides=[], folds=0, seconds=0.0)
    assert "0 images were checked" in page_of(empty).text


def test_data_page_escapes_every_name(home: Path) -> None:
    source = data_page(hostile_record())
    page = Tags(source)
    assert {each["src"][:23] for each in page.all("img")} == {"data:image/jpeg;base64,"}
    assert len(page.all("script")) == 1
    assert not [name for _, values in page.tags for name in values if name.startswith("on")]
    for name in HOSTILE[:3]:
        assert name in page.text
    assert "sea\\u202egpj.exe" in page.text
    assert "two\\x0alines.jpg" in page.text
    assert "caf?.jpg" in page.text
    assert "\u202e" not in source
    assert "harness data check FOLDER" not in page.text  # the name can be typed in quotes
    assert "harness data check '<img src=x onerror=document.title='\"'\"'run'\"'\"'>' --write" in page.text


def test_data_page_can_be_read_by_a_screen_reader(home: Path) -> None:
    page = page_of(everything())
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in head for head in page.all("th"))
    assert all(each["alt"] for each in page.all("img"))
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(ids) == len({*ids})


def test_data_page_reads_no_image_outside_its_folder(home: Path) -> None:
    (home / "secret.jpg").write_bytes(picture(1))
    (home / "images/train").mkdir(parents=True)
    paths = ["../secret.jpg", str(home / "secret.jpg"), "train/../../secret.jpg"]
    page = page_of(checked(odd=[odd(image(path, laid=False)) for path in paths]))
    assert not page.all("img")
    assert page.text.count("no image") == 3


def test_data_page_contains_no_user_and_no_private_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna.smith")
    folder = "/data/anna.smith/secret place/lab/photos"
    page = data_page(
        checked(
            name=f"{folder}/train",
            data=f"{folder}/train",
            folder=folder,
            features="weights of /home/anna.smith/w/net.pth",
            probabilities=f"the run in {home}/runs/1",
            notes=[f"{folder}/train: 2 links", r"C:\Users\anna.smith\w: not used"],
            methods=[f"read from {folder}"],
            odd=[odd(image("train/1.jpg", laid=False), reason=f"{folder}/train/1.jpg is dark")],
            suspects=[suspect(image("/home/anna.smith/1.jpg", laid=False))],
        )
    )
    for word in ("anna", str(home), "secret place"):
        assert word not in page, word
    text = Tags(page).text
    assert "…/photos/train" in text
    assert "harness data check FOLDER --write fixes.csv" in text


def test_data_page_of_a_missing_folder_lists_the_findings(home: Path) -> None:
    record = dataclasses.replace(everything(), folder="elsewhere")
    page = page_of(record)
    assert not page.all("img")
    assert "The images are not shown, because their folder does not exist any more." in page.text
    assert "train/newt/1.jpg" in page.text
    assert not [span for span in page.all("span") if span.get("class") == "gone"]


def test_data_page_counts_missing_images(home: Path) -> None:
    record = everything()
    (home / "images/train/newt/1.jpg").unlink()
    page = page_of(record)
    assert len(page.all("img")) == 10
    assert "1 image could not be read and is not shown." in page.text


def test_data_page_without_images_lists_the_findings(home: Path) -> None:
    page = Tags(data_page(everything(), images=False))
    assert not page.all("img")
    assert "The images are left out of this file" in page.text
    assert "train/newt/1.jpg" in page.text


def test_data_page_of_10_000_findings_is_a_small_file(home: Path) -> None:
    found = [image(f"train/newt/{i % 3}.jpg", "newt", laid=i < 3) for i in range(10_000)]
    other = image("train/toad/1.jpg", "toad")
    record = checked(
        copies=[
            *(copies([each, other]) for each in found[:5000]),
            *(copies([each, each, each], kind=CopyKind.NEAR_COPY, bits=i % 11) for i, each in enumerate(found[5000:])),
        ],
        more_copies=7,
        suspects=[suspect(each) for each in found],
        odd=[odd(each, kind) for kind in OddKind for each in found[:2000]],
    )
    page = data_page(record)
    assert len(page.encode()) < 5_000_000
    text = Tags(page).text
    assert "5,000 sets of copies" in text
    assert "4,880 of these 5,000 sets are not shown" in text
    assert "5,000+ Other copies" in text
    assert "The first 1,000 of 10,000 suspects" in text
    assert "1,940 more are not shown" in text


def test_data_page_of_many_large_images_is_a_small_file(home: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)  # JPEG cannot compress noise well
    images = [image(f"train/newt/{i}.jpg") for i in range(900)]
    for each in images:
        if each is images[0]:
            Image.fromarray(noise).save(home / "images" / each.path, quality=95)
            content = (home / "images" / each.path).read_bytes()
        (home / "images" / each.path).write_bytes(content)
    record = checked(
        copies=[copies([a, b]) for a, b in zip(images[:300], images[300:600], strict=True)],
        suspects=[
            suspect(each) for each in images
        ],  # the same images again, because each address contains the whole image
        odd=[odd(each, kind) for kind in OddKind for each in images[:100]],
    )
    assert len(data_page(record).encode()) < 5_000_000


def test_write_data_report_replaces_only_reports_of_harness(home: Path) -> None:
    path = home / "check.html"
    write_data_report(checked(), path)
    write_data_report(everything(), path)
    assert "The same image in several classes" in path.read_text(encoding="utf-8")
    path.write_text("a letter")
    with pytest.raises(UsageError, match=r"check\.html is there already"):
        write_data_report(checked(), path)
    write_data_report(checked(), path, force=True)
    assert "240" in path.read_text(encoding="utf-8")
