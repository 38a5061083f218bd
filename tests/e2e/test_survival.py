"""Whatever process dies, the stored rules come back, and guests only end with their keeper (RES-05..08)."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.serving import Host, Server, client

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]
GIVEN = ("--root-access-key", "FOOBARKEY", "--root-secret-key", "FOOBARSECRET")
CLIENT = "internet:203.0.113.9"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.close()
        for left in processes("ringfence.dataplane", made.home):  # of a test that failed
            os.kill(left, signal.SIGKILL)


def up(host: Host, port: int | None = None) -> Server:
    return host.up("--data", str(host.home / "d"), *GIVEN, port=port, dataplane="nftables")


def web_server(host: Host, server: Server) -> tuple[str, str, Any]:
    """A running instance of the default VPC that the internet reaches on port 80 only: (id, group, client)."""
    ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    open_port(ec2, group, 80)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    id = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SecurityGroupIds=[group])["Instances"][0][
        "InstanceId"
    ]
    running(ec2, id)
    return id, group, ec2


def open_port(ec2: Any, group: str, port: int) -> None:
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp="0.0.0.0/0"
    )


def running(ec2: Any, id: str) -> None:
    ec2.get_waiter("instance_running").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def outcomes(host: Host, id: str, *ports: int) -> list[str]:
    assert host.run("wait").returncode == 0
    found = [host.run("probe", CLIENT, id, "--port", str(port), "--timeout", "1", "--json") for port in ports]
    return [json.loads(done.stdout)["outcome"] if done.stdout else done.stderr for done in found]


def boot_of(host: Host, id: str) -> str:
    """A file that the guest keeps until it ends: which life of the guest this is."""
    script = "p=/tmp/life; [ -e $p ] || cat /proc/sys/kernel/random/uuid > $p; cat $p"
    done = host.run("exec", id, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def processes(module: str, run: Path) -> list[int]:
    """Processes of a module whose log is in this run directory: ours, not another server's."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and module in (entry / "cmdline").read_text():
                stderr = os.readlink(entry / "fd" / "2")
                if stderr.startswith(str(run)):
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_guest_outlives_kill_9_of_the_api(host: Host) -> None:
    """RES-05, RES-08: the next `up` on the directory adopts what is there; the guest was never restarted."""
    server = up(host)
    id, group, ec2 = web_server(host, server)
    assert outcomes(host, id, 80, 81) == ["ok", "dropped"]
    life = boot_of(host, id)
    open_port(ec2, group, 82)  # acknowledged, perhaps not in the kernel yet
    server.stop(signal.SIGKILL)
    again = up(host, server.port)
    assert outcomes(host, id, 80, 81, 82) == ["ok", "dropped", "ok"]
    assert boot_of(host, id) == life
    run = host.home / "d" / "run"
    assert len(processes("ringfence.dataplane.keeper", run)) == 1
    assert again.stop() == 0
    assert processes("ringfence.dataplane", run) == []  # a clean end takes everything along


def test_a_dead_agent_is_replaced_and_the_guest_stays(host: Host) -> None:
    """RES-06."""
    server = up(host)
    id, group, ec2 = web_server(host, server)
    life = boot_of(host, id)
    run = host.home / "d" / "run"
    (agent,) = processes("ringfence.dataplane.agent", run)
    os.kill(agent, signal.SIGKILL)
    open_port(ec2, group, 82)
    eventually(lambda: processes("ringfence.dataplane.agent", run) not in ([], [agent]))
    assert outcomes(host, id, 80, 81, 82) == ["ok", "dropped", "ok"]
    assert boot_of(host, id) == life


def test_after_the_keeper_died_everything_is_made_anew(host: Host) -> None:
    """RES-07: the stored configuration, exactly, and running instances run again."""
    server = up(host)
    id, _, ec2 = web_server(host, server)
    life = boot_of(host, id)
    run = host.home / "d" / "run"
    (keeper,) = processes("ringfence.dataplane.keeper", run)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: processes("ringfence.dataplane.keeper", run) not in ([], [keeper]))
    running(ec2, id)
    eventually(lambda: outcomes(host, id, 80, 81) == ["ok", "dropped"])
    assert boot_of(host, id) != life


def test_a_machine_that_was_off_comes_back_as_it_was(host: Host) -> None:
    """RES-07: a clean stop ends every guest; the next start makes what is stored, before anything is asked of it."""
    server = up(host)
    id, _, _ = web_server(host, server)
    assert server.stop() == 0
    assert processes("ringfence.dataplane", host.home / "d" / "run") == []
    up(host)
    assert outcomes(host, id, 80, 81) == ["ok", "dropped"]
