"""Text in XML: what it can carry, and how it is written."""

from __future__ import annotations

import re

#: characters XML 1.0 cannot carry: a parameter that holds one could never be shown back
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escaped(text: str) -> str:
    """Text as XML character data. A carriage return needs a reference, or the reader makes a line feed of it."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    return text.replace("\r", "&#xD;") if "\r" in text else text


def printable(text: str) -> str:
    """Text with `?` for every character XML cannot carry: for messages that quote what a client sent."""
    return UNPRINTABLE.sub("?", text)
