"""What the commands share: finding the running installation, printing, failing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from ringfence.control import ask


class CommandError(Exception):
    """A failure to tell the user about; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def home() -> Path:
    """Where running installations are noted: $RINGFENCE_HOME or ~/.local/state/ringfence."""
    given = os.environ.get("RINGFENCE_HOME")
    return Path(given) if given else Path.home() / ".local" / "state" / "ringfence"


def add_endpoint(parser: argparse.ArgumentParser, *, as_json: bool = True) -> None:
    """The options of commands that talk to a running installation."""
    parser.add_argument("--endpoint", help="which running ringfence, by its address (default: the newest)")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print JSON")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def running(endpoint: str | None) -> dict[str, Any]:
    """The note of a running installation. CommandError when there is none."""
    found = []
    for path in (home() / "instances").glob("*.json"):
        note: dict[str, Any] = json.loads(path.read_text())
        if _alive(int(note["pid"])) and endpoint in (None, note["endpoint"]):
            found.append(note)
    if not found:
        where = f" at {endpoint}" if endpoint else ""
        raise CommandError(f"no ringfence is running{where}; start one with: ringfence up --ephemeral")
    return max(found, key=lambda note: float(note["started"]))


def control(args: argparse.Namespace, request: dict[str, Any], *, timeout: float = 60) -> dict[str, Any]:
    """The answer of the running installation. CommandError when it cannot be reached or refuses."""
    note = running(args.endpoint)
    try:
        reply = ask(Path(note["run"]) / "api.sock", request, timeout=timeout)
    except OSError as problem:
        raise CommandError(f"ringfence at {note['endpoint']} does not answer: {problem}") from None
    if "error" in reply:
        raise CommandError(str(reply["error"]), int(reply.get("status", 1)))
    return reply


def show_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
