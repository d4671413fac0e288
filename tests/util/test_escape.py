from __future__ import annotations

import pytest

from harness.util.escape import cell, code, from_cell, markdown, terminal

TEXTS = [
    "plain",
    "=cmd()",
    "+1",
    "-1",
    "@x",
    "'x",
    "''=x",
    "\uff1d1",
    "a\\b",
    "a\\x41",
    "\\\\",
    "a\nb",
    "\x1b[2J",
    "\u202eabc",
]


@pytest.mark.parametrize("text", [*TEXTS, "\t=x", "\r\n", "é", "\udcff", "\u2028", "\\'=", "\\u202e"])
def test_cell_can_be_read_back_and_is_not_a_formula(text: str) -> None:
    written = cell(text)
    assert from_cell(written) == text
    assert not written.startswith(("=", "+", "-", "@", "\uff1d", "\t", "\r"))
    assert written.isprintable() or "\udcff" in written


def test_from_cell_reads_cells_of_older_versions() -> None:
    assert from_cell("'quoted") == "'quoted"
    assert from_cell("sea/a\\b.jpg") == "sea/a\\b.jpg"


@pytest.mark.parametrize("text", TEXTS)
def test_terminal_shows_control_characters_and_changes_nothing_else(text: str) -> None:
    assert terminal(text).isprintable()
    assert terminal(terminal(text)) == terminal(text)
    assert terminal(text) == text or not text.isprintable()


def test_terminal_keeps_letters_of_all_scripts() -> None:
    assert terminal("Ωδ日本語 👩\u200d🔬 é") == "Ωδ日本語 👩\u200d🔬 é"


def test_markdown_contains_no_markup() -> None:
    assert markdown("<img onerror=x>|[a](b)`c`*d*") == r"&lt;img onerror=x&gt;\|\[a\](b)\`c\`\*d\*"
    assert markdown("a\n# b") == r"a\\x0a\# b"


def test_code_ends_at_the_end_of_the_text() -> None:
    assert code("a`b\n") == r"`a'b\x0a`"
