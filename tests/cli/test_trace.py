"""`ringfence trace`: arguments, exit status, what people and programs read; over a real control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence import notes
from ringfence.cli.main import main
from ringfence.control import ControlServer
from ringfence.insight.analyzer.report import PathReporter
from ringfence.insight.reach.trace import Tracer
from tests.builders import ACCOUNT, ANY, OPEN, REGION, group, host, ident, ingress, subnet, vpc, world

Run = Callable[..., int]
SITE = world(
    vpc(), subnet("a", "10.0.0.0/24"), group("g", ingress(ANY, "tcp", 80), *OPEN), host("x", "10.0.0.10", groups=["g"]),
    host("y", "10.0.0.11", groups=["g"]),
)  # fmt: skip
X, Y = ident("i", "x"), ident("i", "y")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A control socket that answers traces of SITE; the requests it was asked."""
    monkeypatch.setenv("RINGFENCE_HOME", str(tmp_path))
    notes.write(
        tmp_path,
        notes.Note(
            endpoint="http://127.0.0.1:1", pid=os.getpid(), run=str(tmp_path), region=REGION, account_id=ACCOUNT,
            access_key="AKIA", secret_key="secret", started=1.0,
        ),
    )  # fmt: skip
    requests: list[dict[str, Any]] = []
    tracer, reporter = Tracer(), PathReporter()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        asks = {"trace": tracer.answer, "paths": reporter.answer}
        return asks[request["do"]](SITE, request)

    server = ControlServer(tmp_path / "api.sock", answer)
    server.start()
    yield requests
    server.close()


def test_json(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", X, Y, "--port", "80", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "ok"
    assert main(["trace", X, Y, "--port", "81", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["outcome"], answer["dropped_at"], answer["component"]) == ("dropped", "sg-ingress", ident("sg", "g"))


def test_for_people(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", X, Y, "--port", "81"]) == 1
    lines = capsys.readouterr().out.splitlines()
    group = ident("sg", "g")
    assert [line.split()[1:3] for line in lines[2:6]] == [
        ["pass", "source-check"], ["pass", "sg-egress"], ["pass", "route"], ["DROP", "sg-ingress"],
    ]  # fmt: skip
    assert lines[6:] == [
        "dropped at sg-ingress",
        f"why: no inbound rule of {group} allows tcp port 81 from 10.0.0.10",
        f"  fix: aws ec2 authorize-security-group-ingress --group-id {group} --ip-permissions"
        " 'IpProtocol=tcp,FromPort=81,ToPort=81,IpRanges=[{CidrIp=10.0.0.10/32}]'",
        f"   or: aws ec2 authorize-security-group-ingress --group-id {group} --ip-permissions"
        f" 'IpProtocol=tcp,FromPort=81,ToPort=81,UserIdGroupPairs=[{{GroupId={group}}}]'",
    ]


def test_arguments(asked: list[dict[str, Any]]) -> None:
    main(["trace", X, Y, "--protocol", "udp", "--port", "53", "--source-port", "2000"])
    main(["trace", X, Y, "--protocol", "icmp", "--icmp-type", "13", "--icmp-code", "0", "--ipv6"])
    udp, icmp = asked
    assert (udp["protocol"], udp["port"], udp["source_port"], udp["ipv6"]) == ("udp", 53, 2000, False)
    assert (icmp["icmp_type"], icmp["icmp_code"], icmp["ipv6"]) == (13, 0, True)


def test_bad_usage_is_status_2(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", ident("i", "nobody"), Y]) == 2
    assert "there is no instance" in capsys.readouterr().err
    assert main(["trace", X, Y, "--protocol", "quic"]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["trace", X])
    assert ended.value.code == 2


def test_who_names_no_port_is_told_which_one_it_is(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for more, told in (
        ((), True),
        (("--port", "0"), False),
        (("--protocol", "icmp"), False),
        (("--protocol", "17"), True),
    ):
        main(["trace", X, Y, *more])
        assert ("no --port was given" in capsys.readouterr().err) is told, more


def test_all_paths(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """`ringfence paths`: one after another, with its packets and every hop; the exit status tells whether there is any."""
    assert main(["paths", X, Y]) == 0
    lines = capsys.readouterr().out.splitlines()
    x, y = ident("eni", "x"), ident("eni", "y")
    assert lines[0] == f"1. {x} (10.0.0.10) -> {y} (10.0.0.11): tcp 80"
    assert [line.split()[2] for line in lines[2:] if line] == [
        "source-check", "sg-egress", "route", "sg-ingress", "reply-source-check", "reply-sg-egress", "reply-route",
        "reply-sg-ingress",
    ]  # fmt: skip
    assert main(["paths", X, Y, "--json", "--protocol", "tcp", "--port", "80"]) == 0
    (path,) = json.loads(capsys.readouterr().out)["paths"]
    assert path["allowed"] == [{"protocol": "tcp", "ports": "80", "source_ports": ["0-65535"]}]
    assert main(["paths", X, Y, "--protocol", "udp"]) == 1
    assert capsys.readouterr().out == "no path\n"
    assert main(["paths", X, "10.0.0.10"]) == 3
    assert "unknown whether there are more: " + x in capsys.readouterr().out
    assert main(["paths", X, "i-nobody"]) == 2
    assert "NO_SOURCE_OR_DESTINATION" in capsys.readouterr().err
