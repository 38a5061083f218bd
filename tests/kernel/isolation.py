"""Scenarios in namespaces of their own: a module of these tests, run as the root of a user namespace, prints JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any


def isolated(module: str, *args: str, timeout: float = 100, keep: Collection[int] = ()) -> Any:
    """What `python -m tests.kernel.MODULE ARGS` prints there. RuntimeError with what it said, if it fails.

    `keep`: descriptors that it has as well.
    """
    command = " ".join((sys.executable, "-m", f"tests.kernel.{module}", *args))
    inner = f"mount -t tmpfs none /run && mkdir /run/netns && exec {command}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "--fork", "--kill-child", "sh", "-c", inner],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=timeout, check=False,
        pass_fds=keep,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)
