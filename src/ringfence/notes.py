"""Notes about running installations, by port: how the ringfence command finds the one it should talk to.

A note holds the root key, so directory and file are private to their owner.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ringfence.settings import write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One running installation. `run`: its run directory with the control socket; `started`: seconds since 1970."""

    endpoint: str
    pid: int
    run: str
    region: str
    account_id: str
    access_key: str
    secret_key: str
    started: float
    ca: str = ""  # the certificate of the installation's own authority

    @property
    def control(self) -> Path:
        return Path(self.run) / "api.sock"

    @property
    def alive(self) -> bool:
        """The process is there and has its socket; a note that a crash left behind has not."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it exists, and is another user's
        return self.control.exists()


def default_home() -> Path:
    """Where notes are: $RINGFENCE_HOME or ~/.local/state/ringfence."""
    given = os.environ.get("RINGFENCE_HOME")
    return Path(given) if given else Path.home() / ".local" / "state" / "ringfence"


def _path(home: Path, endpoint: str) -> Path:
    return home / "instances" / f"{endpoint.rpartition(':')[2]}.json"


def write(home: Path, note: Note) -> None:
    """Leave a note; one of a predecessor on the same port is replaced."""
    path = _path(home, note.endpoint)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, json.dumps(asdict(note)))


def remove(home: Path, note: Note) -> None:
    """Take the note back, unless another installation has the port by now."""
    path = _path(home, note.endpoint)
    if _read(path) == note:
        path.unlink()


def _read(path: Path) -> Note | None:
    try:
        return Note(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # gone meanwhile, or not ours
        return None


def running(home: Path) -> list[Note]:
    """Notes of installations that run, newest first."""
    found = [_read(path) for path in (home / "instances").glob("*.json")]
    return sorted((note for note in found if note and note.alive), key=lambda note: note.started, reverse=True)
