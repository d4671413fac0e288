"""The template library: a context becomes one HTML file, which loads nothing and runs one script of ours."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report.texts import shown
from harness.version import __version__

TEMPLATES = Path(__file__).parent / "templates"
GENERATOR = "harness report"  # in the page's head, by which a report is known to be one
UNIT = re.compile(r"(?<=\d) %")  # stays on the line of its number
HEAD = 4096  # bytes of a file in which that is looked for


def render(template: str, context: Mapping[str, Any]) -> str:
    """Returns the page. Every text in `context` is escaped, and a name that it lacks is an error.

    Args:
        template: File name in the folder of templates.
        context: What the template shows.
    """
    script = _source("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    own = {
        "policy": policy,
        "generator": f"{GENERATOR} {__version__}",
        "style": Markup(_source("report.css")),
        "script": Markup(script),
        "version": __version__,
    }
    return _environment().get_template(template).render({**context, **own})


def is_report(path: Path) -> bool:
    """Whether the file at `path` is a report that harness wrote. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return f'<meta name="generator" content="{GENERATOR} '.encode() in file.read(HEAD)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_final,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _final(value: Any) -> Any:
    """What an expression of a template shows: of a text, control characters and places of this machine are changed."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return UNIT.sub("\u00a0%", shown(value))


@cache
def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
