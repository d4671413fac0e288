"""Renders a template to one HTML file. The file loads nothing, and runs only the script of this package."""

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
GENERATOR = "harness report"  # in the head of the page, to recognise a report
UNIT = re.compile(r"(?<=\d) %")  # a space that must not become a line break
HEAD = 4096  # number of bytes that are searched for GENERATOR


def render(template: str, context: Mapping[str, Any]) -> str:
    """Returns the page. All texts in `context` are escaped. A missing name is an error.

    Args:
        template: The file name in the folder of templates.
        context: The values for the template.
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
    """Returns whether harness wrote the report at `path`. Raises OSError if the file cannot be read."""
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
    """The text of a template's expression, without control characters and without paths of this machine."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return UNIT.sub("\u00a0%", shown(value))


@cache
def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
