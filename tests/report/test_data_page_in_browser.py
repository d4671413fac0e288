"""The page of a data check in a real browser: no name runs as code, nothing is loaded, and it fits window and paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report.data_page import data_page
from tests.report.browser import Page, browser
from tests.report.checked import everything, hostile_record
from tests.report.laid import TAG
from tests.report.test_run_page import LOW_CONTRAST


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of a check with hostile names, and of a check with findings of every kind."""
    home = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name, record in (("hostile", hostile_record()), ("everything", everything())):
            (home / f"{name}.html").write_text(data_page(record), encoding="utf-8", errors="replace")
    return {name: home / f"{name}.html" for name in ("hostile", "everything")}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


def test_data_page_in_a_browser_runs_no_name_and_loads_nothing(pages: dict[str, Path], chromium: Page) -> None:
    chromium.look(1280)
    chromium.open(pages["hostile"].as_uri())
    assert chromium.ask("document.title") == f"{TAG}: data check"
    assert chromium.said == []
    assert [address for address in chromium.asked if not address.startswith("data:")] == [pages["hostile"].as_uri()]
    assert chromium.ask("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("name", ["hostile", "everything"])
def test_data_page_in_a_browser_fits_its_window_and_has_enough_contrast(
    pages: dict[str, Path], chromium: Page, name: str, width: int, dark: bool
) -> None:
    chromium.look(width, dark=dark)
    chromium.open(pages[name].as_uri())
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask(LOW_CONTRAST) == []


def test_data_page_fits_on_paper(pages: dict[str, Path], chromium: Page) -> None:
    chromium.look(690, media="print")
    chromium.open(pages["everything"].as_uri())
    assert chromium.ask("document.documentElement.scrollWidth") <= 690
    columns = "getComputedStyle(document.querySelector('.check')).gridTemplateColumns.split(' ').length"
    assert chromium.ask(columns) == 2
    chromium.look(1280)


def test_data_page_in_a_browser_sorts_its_table(pages: dict[str, Path], chromium: Page) -> None:
    chromium.look(1280)
    chromium.open(pages["everything"].as_uri())
    images = "[...document.querySelectorAll('#done tbody td:last-child')].map(c => c.textContent)"
    assert chromium.ask(images) == ["20", "20"]
    chromium.ask("document.querySelector('#done th button').click()")
    assert chromium.ask("document.querySelector('#done th').getAttribute('aria-sort')") == "ascending"
