"""kill -9 of server, agent and keeper in every combination: what ends with whom (RES-05..07), as root and as nobody.

An ephemeral installation ends as a whole with its server. A persistent one keeps keeper and guests for the next server,
and only those; without the keeper nothing is left of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from tests.cli.serving import COMMAND, SOURCE, Host, Server
from tests.e2e.test_survival import GIVEN, processes, web_server
from tests.sampling import part

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PACKAGES = f"{SOURCE}:{Path(boto3.__file__).parents[1]}"
#: what is started after this runs with the interpreter that starts it instead of the one it names
INSTEAD = ("-c", "import os, sys; os.execv(sys.executable, [sys.executable, *sys.argv[2:]])")
KILLS = ("server", "server agent", "server keeper", "server agent keeper")
LEFT = 778  # seconds that a command sleeps which another one leaves behind in the guest
Life = tuple[int, str]  # pid, start time


def as_nobody() -> tuple[str, ...]:
    """Words before a command that make it nobody's, with an interpreter that nobody may execute."""
    for python in (sys.executable, "/usr/bin/python3"):
        asks = [*NOBODY, python, *INSTEAD, python, "-c", "import ringfence.app"]
        if subprocess.run(asks, env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True).returncode == 0:
            return (*NOBODY, python, *INSTEAD)
    pytest.skip("no interpreter that nobody may execute")


@pytest.fixture(params=["root", "nobody"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Host, tuple[str, ...]]]:
    if os.geteuid() != 0 and request.param == "root":
        pytest.skip("not root")
    home, before = tmp_path, ()
    if os.geteuid() == 0 and request.param == "nobody":
        home, before = Path(tempfile.mkdtemp(prefix="rf-")), as_nobody()
    made = Host(home)
    if before:
        made.env["PYTHONPATH"] = PACKAGES
        for path in (home, made.scratch):
            os.chown(path, 65534, 65534)
    try:
        yield made, before
    finally:
        made.close()
        for left in processes("ringfence.dataplane", home):
            os.kill(left, signal.SIGKILL)
        if before:
            shutil.rmtree(home)


def lives() -> dict[int, tuple[int, str, str]]:
    """pid -> (parent, start time, what it is)."""
    out = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                out[int(entry.name)] = (int(words[1]), words[19], (entry / "cmdline").read_text())
            except OSError:
                continue
    return out


def below(pid: int) -> dict[Life, str]:
    """A process and its descendants."""
    there = lives()
    found, grown = {pid}, 0
    while grown != len(found):
        grown = len(found)
        found |= {child for child, (parent, _, _) in there.items() if parent in found}
    return {(each, there[each][1]): there[each][2].replace("\0", " ") for each in found if each in there}


def remaining(those: dict[Life, str]) -> dict[Life, str]:
    there = lives()
    return {life: what for life, what in those.items() if there.get(life[0], (0, "", ""))[1] == life[1]}


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


class Whole:
    """A server with a running guest, and a command inside it and one on an outside host."""

    def __init__(self, host: Host, before: tuple[str, ...], mode: str) -> None:
        options = ("--ephemeral",) if mode == "ephemeral" else ("--data", str(host.home / "d"))
        self.server: Server = host.up(*options, *GIVEN, dataplane="nftables", before=before)
        self.guest, _, _ = web_server(host, self.server)
        self.commands = [
            subprocess.Popen(
                [*COMMAND, "exec", target, "--endpoint", self.server.endpoint, "--", "sh", "-c", f"setsid sleep {left} & exec sleep 777"],
                env=host.env,
            )
            for target, left in ((self.guest, LEFT), ("internet:203.0.113.9", 777))
        ]  # fmt: skip
        assert within(20, lambda: sum(what in ("sleep 777 ", f"sleep {LEFT} ") for what in self.all().values()) == 4)
        self.parts = {"server": self.server.process.pid}
        for name in ("agent", "keeper"):
            (self.parts[name],) = [
                pid for pid, (parent, _, what) in lives().items()
                if parent == self.server.process.pid and f"ringfence.dataplane.{name}" in what
            ]  # fmt: skip
        self.started = self.all()
        self.of_guests = {life for life, what in self.started.items() if what == f"sleep {LEFT} "}
        self.of_guests |= below(self.parts["keeper"]).keys()

    def all(self) -> dict[Life, str]:
        return below(self.server.process.pid)

    def kill(self, *names: str) -> None:
        for name in names:
            os.kill(self.parts[name], signal.SIGKILL)
        if "server" in names:
            self.server.process.wait()

    def close(self) -> None:
        for command in self.commands:
            command.terminate()
            command.wait()


@pytest.fixture
def whole(host: tuple[Host, tuple[str, ...]], request: pytest.FixtureRequest) -> Iterator[Whole]:
    made = Whole(*host, request.param)
    yield made
    made.close()


@pytest.mark.parametrize("killed", part(KILLS, 3))
@pytest.mark.parametrize("whole", ["ephemeral"], indirect=True)
def test_nothing_outlives_an_ephemeral_server(whole: Whole, killed: str) -> None:
    whole.kill(*killed.split())
    assert within(10, lambda: not remaining(whole.started)), remaining(whole.started)


@pytest.mark.parametrize("killed", part(KILLS, 3))
@pytest.mark.parametrize("whole", ["persistent"], indirect=True)
def test_keeper_and_guests_alone_outlive_a_persistent_server(whole: Whole, killed: str) -> None:
    """Commands that were brought in end with the agent; what they started in the guest is the guest's."""
    whole.kill(*killed.split())
    stay = set() if "keeper" in killed else whole.of_guests
    assert within(10, lambda: remaining(whole.started).keys() <= stay), remaining(whole.started)
    time.sleep(0.5)
    assert remaining(whole.started).keys() == stay


@pytest.mark.parametrize("killed", ["keeper", "agent keeper"])
@pytest.mark.parametrize("whole", ["persistent"], indirect=True)
def test_a_server_whose_data_plane_was_killed_has_only_the_new_one(whole: Whole, killed: str) -> None:
    whole.kill(*killed.split())
    old = {life: what for life, what in whole.started.items() if life[0] != whole.server.process.pid}
    assert within(10, lambda: not remaining(old)), remaining(old)
    assert within(30, lambda: any("ringfence-init" in what for what in whole.all().values()))
