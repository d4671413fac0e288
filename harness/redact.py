"""What must never be shown: passwords in addresses."""

from __future__ import annotations

import re


def shown(text: str) -> str:
    """An address, or a text with addresses in it, without the passwords."""
    text = re.sub(r"://[^\n]*@", "://", text)  # whatever is in a password, an "@" or a space included
    return re.sub(r"(?i)(\w*(?:pass|pwd|token|secret|key)\w*)=[^&\s]*", r"\1=***", text)
