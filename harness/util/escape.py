"""Escapes untrusted text for a terminal, a table or a page. All escaping is in this file.

The name of a class or a file may contain anything: sequences that move a terminal's cursor, a formula that a
spreadsheet runs, a tag that a browser interprets.
"""

from __future__ import annotations

import html
import re

# control characters, and characters that reverse the text direction or end a line: terminals execute all of them
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
UNPRINTABLE = re.compile(
    f"{CONTROL.pattern[:-1]}\ud800-\udfff]"
)  # also bytes that are not UTF-8, which may be control characters
ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")
# beginnings of a cell that a spreadsheet takes as a formula (also full-width), or as its mark for text
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


SPLIT = re.compile(rf";(?=\s*[{''.join(map(re.escape, FORMULA))}])")


def terminal(line: str) -> str:
    r"""Escapes one line for a terminal: a control character becomes `\x1b`. To do it twice has no further effect."""
    return UNPRINTABLE.sub(_written, line)


def cell(text: str) -> str:
    r"""Escapes a text for a cell of a CSV, so that it is on one line and not a formula. `from_cell` undoes it.

    A cell that begins like a formula gets a `'` at its beginning, which marks text in spreadsheets (OWASP, CSV
    injection). Control characters are written as `\x1b`, and a backslash as two.
    """
    text = CONTROL.sub(_written, text.replace("\\", "\\\\"))
    text = SPLIT.sub(r"\\x3b", text)  # a semicolon separates cells in many countries
    return f"'{text}" if text.startswith(FORMULA) else text


def from_cell(text: str) -> str:
    """Undoes `cell`."""
    text = text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
    return ESCAPED.sub(lambda match: "\\" if match[1] == "\\" else chr(int(match[1][1:], 16)), text)


def markdown(text: str) -> str:
    """Escapes a text for Markdown and HTML, so that no part of it is markup."""
    text = re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", html.escape(terminal(text), quote=False))
    return text.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")  # no link, no mention


def code(text: str) -> str:
    """Formats a text as code in Markdown."""
    return f"`{terminal(text).replace('`', chr(39))}`"


def _written(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
