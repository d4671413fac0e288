"""Text from elsewhere, made harmless for where it goes: a terminal, a table, a page. Each in one place, here.

The name of a class or a file may hold anything: sequences that move a terminal's cursor, a formula that a spreadsheet
runs, a tag that a browser reads.
"""

from __future__ import annotations

import html
import re

# control characters, and those that reverse the order of what follows or end a line: a terminal obeys all of them
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
UNPRINTABLE = re.compile(f"{CONTROL.pattern[:-1]}\ud800-\udfff]")  # also bytes that are no UTF-8, which may be one
ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")
# how a cell begins that a spreadsheet takes for a formula, in either width, or for its mark of text
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


SPLIT = re.compile(rf";(?=\s*[{''.join(map(re.escape, FORMULA))}])")


def terminal(line: str) -> str:
    r"""One line for a terminal: a control character in it is shown as it is written, `\x1b`. Doing it twice is once."""
    return UNPRINTABLE.sub(_written, line)


def cell(text: str) -> str:
    r"""A text in a cell of a CSV: no formula, on one line. `from_cell` reads it back.

    A cell that begins as a formula gets a `'` before it, which spreadsheets take for "this is text" (OWASP, CSV
    injection). Control characters are written as `\x1b`, and a backslash as two.
    """
    text = CONTROL.sub(_written, text.replace("\\", "\\\\"))
    text = SPLIT.sub(r"\\x3b", text)  # where a semicolon parts the cells, as in many countries
    return f"'{text}" if text.startswith(FORMULA) else text


def from_cell(text: str) -> str:
    """What `cell` made it of."""
    text = text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
    return ESCAPED.sub(lambda match: "\\" if match[1] == "\\" else chr(int(match[1][1:], 16)), text)


def markdown(text: str) -> str:
    """A text in Markdown, and so in HTML: none of it is markup."""
    text = re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", html.escape(terminal(text), quote=False))
    return text.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")  # no link, no mention


def code(text: str) -> str:
    """A text as code in Markdown."""
    return f"`{terminal(text).replace('`', chr(39))}`"


def _written(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
