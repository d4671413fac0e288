"""The result of one check."""

from __future__ import annotations

from dataclasses import asdict, dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """`word` is OK, WARNING (it works, but something is missing) or PROBLEM (something does not work)."""

    subject: str
    word: str
    text: str
    fix: str = ""  # what to type

    def to_dict(self) -> dict[str, str]:
        return asdict(self) | ({"fix": ""} if self.word == OK else {})
