"""Filter patterns of CloudWatch Logs (CloudWatch Logs User Guide: "Filter pattern syntax for metric filters, subscription
filters, filter log events, and Live Tail"; MON-06, MON-07).

Three languages, told apart by their first character: `[…]` columns, `{…}` JSON, anything else terms of unstructured text.
Pure: a pattern is compiled once and asked about one message at a time. Every match takes time linear in the message.
"""

from __future__ import annotations

from functools import lru_cache

from ringfence.insight.patterns.columns import ColumnPattern
from ringfence.insight.patterns.documents import DocumentPattern
from ringfence.insight.patterns.parts import PatternError, Sieve
from ringfence.insight.patterns.text import TextPattern

__all__ = ["Pattern", "PatternError", "Sieve", "compile_pattern", "number_of"]

from ringfence.insight.patterns.parts import number_of

Pattern = TextPattern | ColumnPattern | DocumentPattern


@lru_cache(maxsize=512)
def compile_pattern(text: str) -> Pattern:
    """What the text asks of a message. PatternError."""
    stripped = text.strip()
    if stripped.startswith("["):
        return ColumnPattern.parse(stripped)
    if stripped.startswith("{"):
        return DocumentPattern.parse(stripped)
    return TextPattern.parse(stripped)
