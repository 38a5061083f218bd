"""The command of every generated document: write it, or check that it is what would be written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def command(about: str | None, text: Callable[[], str]) -> int:
    """`[--check] PATH`: the exit status. `about` is the script's own docstring, `text` gives the document."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("path", type=Path)
    args = parser.parse_args()
    if not args.check:
        args.path.write_text(text())
        return 0
    if args.path.exists() and args.path.read_text() == text():
        return 0
    print(f"{args.path} is not up to date: run `make docs`", file=sys.stderr)
    return 1
