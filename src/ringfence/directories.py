"""The data directory: of a lasting installation, or a scratch one that goes with its process."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from ringfence.settings import SettingsError


def scratch(end: ExitStack) -> Path:
    """A private directory that goes with the process."""
    base = os.environ.get("XDG_RUNTIME_DIR") or None
    parent = Path(base if base and os.access(base, os.W_OK) else tempfile.gettempdir())
    for left in parent.glob("ringfence-*"):
        _sweep(left)
    path = Path(tempfile.mkdtemp(prefix="ringfence-", dir=parent))
    end.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def _sweep(left: Path) -> None:
    """Remove the scratch directory of an ephemeral installation that was killed: ours, a minute old, and not locked."""
    try:
        about = left.stat(follow_symlinks=False)
        if about.st_uid != os.geteuid() or about.st_mtime > time.time() - 60 or not stat.S_ISDIR(about.st_mode):
            return
        held = os.open(left / "ringfence.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # not one of ours, or gone meanwhile
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
    except BlockingIOError:
        return  # it runs
    finally:
        os.close(held)


def make(data: Path) -> Path:
    """The run directory inside the data directory; both are private. SettingsError when they cannot be made."""
    run = data / "run"
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        run.mkdir(exist_ok=True, mode=0o700)
        probe = run / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise SettingsError(f"cannot use the data directory {data}: {problem.strerror}") from None
    if len(os.fsencode(run / "keeper.sock")) > 100:  # a unix socket's path has 107 bytes
        raise SettingsError(f"the path of the data directory is too long for unix sockets: {data}")
    return run
