"""What the commands share: finding the running installation, printing, failing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ringfence import notes
from ringfence.control import ask
from ringfence.notes import Note


class CommandError(Exception):
    """A failure to tell the user about; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def add_endpoint(parser: argparse.ArgumentParser, *, as_json: bool = True) -> None:
    """The options of commands that talk to a running installation."""
    parser.add_argument("--endpoint", help="which running ringfence, by its address (default: the newest)")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print JSON")


def running(endpoint: str | None) -> Note:
    """The note of a running installation: the newest, or the one at `endpoint`. CommandError when there is none."""
    if endpoint and "@" in endpoint:  # DATA-07: not echoed either
        raise CommandError("--endpoint takes an address without credentials", 2)
    found = notes.running(notes.default_home())
    for note in found:
        if endpoint is None or note.endpoint == endpoint.rstrip("/"):
            return note
    others = f"; running: {', '.join(note.endpoint for note in found)}" if found else ""
    where = f" at {endpoint}" if endpoint else ""
    raise CommandError(f"no ringfence is running{where}{others or '; start one with: ringfence up --ephemeral'}")


def control(args: argparse.Namespace, request: dict[str, Any], *, timeout: float = 60) -> dict[str, Any]:
    """The answer of the running installation. CommandError when it cannot be reached or refuses."""
    note = running(args.endpoint)
    try:
        reply = ask(note.control, request, timeout=timeout)
    except (OSError, ValueError) as problem:
        raise CommandError(f"ringfence at {note.endpoint} does not answer: {problem}") from None
    if "error" in reply:
        raise CommandError(str(reply["error"]), int(reply.get("status", 1)))
    return reply


def write_text(path: Path | None, text: str) -> None:
    """Into a file, or to the standard output. CommandError."""
    if path is None:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise CommandError(f"cannot write {path}: {problem.strerror}", 2) from None


def show_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
