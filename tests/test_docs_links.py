"""Links of the pages: a file and its heading exist, and an address outside has the form of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts),
]


def prose(path: Path) -> str:
    """The text of a page without its code."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(path: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", prose(path))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as a git host and MyST make them."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)
    headings = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def find_problem(page: Path, link: str) -> str:
    """What is wrong with a link, or ""."""
    parts = urlsplit(link)
    if parts.scheme:
        is_address = parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc)
        return "" if is_address else "is no https address"
    target = (page.parent / parts.path).resolve() if parts.path else page
    if not target.exists():
        return "names no file"
    if ROOT not in target.parents:
        return "leaves the repository"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
        return "names no heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_have_a_target(page: Path) -> None:
    problems = [f"{link} {problem}" for link in links(page) if (problem := find_problem(page, link))]
    assert problems == []


def test_find_problem_names_what_is_wrong(tmp_path: Path) -> None:
    page = ROOT / "docs/index.md"
    assert find_problem(page, "data.md#odd-files") == ""
    assert find_problem(page, "https://pytorch.org/docs") == ""
    assert find_problem(page, "data.md#no-such-heading") == "names no heading"
    assert find_problem(page, "nothing.md") == "names no file"
    assert find_problem(page, "https://pytorch") == "is no https address"
    assert find_problem(page, "../../x") == "names no file"


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:.*<)?([\w/-]+)>?$", contents, re.MULTILINE))
    names = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES if page.parent != ROOT}
    assert names - {"index"} - named == set()


def test_every_picture_is_shown() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = [*(ROOT / "docs").glob("*.png"), *(ROOT / "docs").glob("*.svg")]
    assert [picture.name for picture in pictures if f"{picture.name})" not in text] == []


def test_no_page_has_a_name_of_sphinx() -> None:
    """Sphinx writes pages of these names, over those of the site."""
    assert {page.stem for page in PAGES} & {"search", "genindex", "py-modindex"} == set()
