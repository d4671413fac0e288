"""Small pieces of HTML for a notebook: a prediction and a table. All text in them is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from harness.report.thumbnails import thumbnails
from harness.util.escape import terminal

SIDE = 160  # pixels of a thumbnail
BAR = (
    '<div style="background:rgba(128,128,128,.2);border-radius:3px;width:10em;height:.7em">'
    '<div style="background:#3b76af;border-radius:3px;height:100%;width:{width:.1f}%"></div></div>'
)


def prediction_card(top: Sequence[tuple[str, float]], path: str | None) -> str:
    """Returns a prediction as HTML: the image, if its file exists, and a bar for each of the most probable classes."""
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left'>{text(name)}</th><td>{BAR.format(width=100 * value)}</td>"
        f"<td style='text-align:right'>{100 * value:.1f} %</td></tr>"
        for name, value in top
    )
    name = "" if path is None else f"<div>{text(Path(path).name)}</div>"
    return f"<div style='display:flex;gap:1em'>{_picture(path)}<div>{name}<table>{rows}</table></div></div>"


def table(rows: Sequence[Mapping[str, object]], caption: str = "") -> str:
    """Returns rows with the same keys as an HTML table."""
    if not rows:
        return f"<p>{text(caption)}</p>"
    head = "".join(f"<th scope='col'>{text(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{text(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text(value: object) -> str:
    """Returns any value as escaped HTML text, with visible codes for control characters."""
    return escape(terminal(str(value)))


def _picture(path: str | None) -> str:
    """A small copy of an image without metadata, or "" if its file cannot be read."""
    small = None if path is None else next(thumbnails(Path(path).parent, [Path(path).name], side=SIDE))
    return "" if small is None else f"<img alt='' width='{small.width}' height='{small.height}' src='{small.address}'>"
