"""What must never be shown: passwords in addresses."""

from __future__ import annotations

import re


def shown(text: str) -> str:
    """An address, or a text with addresses in it, without the passwords."""
    text = re.sub(r"://[^\s'\"]*@", "://", text)
    return re.sub(r"(?i)(password|passwd|token|secret|key)=[^&\s]*", r"\1=***", text)
