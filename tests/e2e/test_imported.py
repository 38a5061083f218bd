"""An imported network on real packets: what a probe finds is what `trace --from` says of the files, row by row (MON-18)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ringfence.control import ask
from ringfence.insight.imports.draft import Options
from ringfence.insight.imports.load import Network, load
from ringfence.insight.reach.report import Reporter
from ringfence.insight.reach.trace import trace_request
from ringfence.notes import running
from tests.e2e.lab import CLIENT, CLIENT_V6, HOME, Lab, Row
from tests.insight.imports.rich import NAT, PUBLIC, S3_AT, UNREAD, Rich, rich

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rich, Path]:
    networks = rich()
    return networks, networks.write(tmp_path_factory.mktemp("imported"))


@pytest.fixture(scope="module")
def network(made: tuple[Rich, Path]) -> Network:
    return load(made[1], Options(assume_defaults=True))


@pytest.fixture(scope="module")
def lab(made: tuple[Rich, Path], network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("ringfence"), "--import", str(made[1]), "--assume-defaults")
    lab.names = {**network.notes.names, **made[0].names}
    try:
        lab.wait()
        yield lab
        lab.nothing_drifted()
    finally:
        lab.close()


#: groups with references and lists, a network ACL, routes, peering, an endpoint, IPv6; recordings, a plan, a state; equal addresses
ROWS = (
    Row("SG-30", CLIENT, "web", "ok", 80),
    Row("SG-30", CLIENT, "web", "sg-ingress", 22),
    Row("SG-30", CLIENT_V6, "web", "ok", 80, ipv6=True),
    Row("SG-30", CLIENT_V6, "web", "sg-ingress", 443, ipv6=True),
    Row("PL-08, a rule", CLIENT, "web", "ok", 2222),
    Row("PL-08, a rule", HOME, "web", "sg-ingress", 2222),
    Row("PL-08, a route", "web", CLIENT, "ok", 443),
    Row("RT-05", "web", "internet:192.0.2.1", "no-route", 443),
    Row("SG-45", "web", "app", "ok", 8080),
    Row("SG-45", "db", "app", "sg-ingress", 8080),
    Row("SG-45", "app", "db", "ok", 3306),
    Row("ACL-30", "web", "app", "nacl-in", 23),
    Row("ACL-32", "app", "db", "ok", 23),
    Row("no instance", "app", "spare", "ok", 443),
    Row("SG-52", "app", "peer", "ok", 5432),
    Row("SG-52", "db", "peer", "sg-ingress", 5432),
    Row("PCX-05", "web", "peer", "no-route", 5432),
    Row("VPE-01", "app", S3_AT, "ok", 443),
    Row("VPE-06", "app", S3_AT, "endpoint", 22),
    Row("RT-12", "app", CLIENT, NAT, 443),
    Row("another Region, equal addresses", "twin", "10.0.0.5", "ok", 443),
    Row("another Region, equal addresses", "twin", "10.0.0.5", "sg-ingress", 80),
    Row("PL-08, a list that is not known", "twin", "10.0.0.5", UNREAD, 9443),
    Row("AWS's own addresses", CLIENT, PUBLIC, "ok", 443),
    Row("AWS's own addresses", CLIENT, PUBLIC, "sg-ingress", 80),
    Row("AWS's own addresses", CLIENT_V6, "twin", "ok", 443, ipv6=True),
    Row("AWS's own addresses", "twin", CLIENT_V6, "ok", 80, ipv6=True),
    Row("a plan", CLIENT, "aws_instance.x", "ok", 443),
    Row("a plan", "aws_instance.x", "aws_instance.y", "sg-ingress", 22),
    Row("a plan", "aws_instance.y", CLIENT, "ok", 80),
    Row("a state", "i-00000000000000004", "i-00000000000000005", "ok", 443),
    Row("a state", "i-00000000000000004", "i-00000000000000005", "sg-ingress", 22),
)


def test_packets_obey_the_files(lab: Lab, network: Network) -> None:
    """What is not known in the files drops: here the route by a NAT gateway, and a rule with a list whose entries are missing."""
    (note,) = running(Path(lab.env["RINGFENCE_HOME"]))

    def row(row: Row) -> str:
        request: dict[str, Any] = {"source": lab.names.get(row.source, row.source), "port": row.port, "ipv6": row.ipv6,
                                   "destination": lab.names.get(row.destination, row.destination)}  # fmt: skip
        said = trace_request(network.world, request)
        outcome = said.get("dropped_at", said.get("unknown", {}).get("component", said.get("outcome", said)))
        probed = ask(note.control, {"do": "probe", "timeout": 1, **request})
        agree = outcome == row.expected and probed.get("outcome") == ("ok" if outcome == "ok" else "dropped")
        return "" if agree else f"{row}: the files say {outcome}, probed {probed}"

    with ThreadPoolExecutor(6) as pool:
        problems = [text for text in pool.map(row, ROWS) if text]
    assert not problems, "\n".join(problems)


def test_what_runs_is_what_the_files_say(lab: Lab, network: Network, made: tuple[Rich, Path]) -> None:
    """The tables of the running network and of the files, and the answer of the command about each."""
    for kind in ("reach", "exposure"):
        there, here = lab.json(kind)["rows"], getattr(Reporter(), kind)(network.world, {})["rows"]
        assert sorted(map(_answer, there)) == sorted(map(_answer, here))
    row = [lab.names["db"], lab.names["app"], "--port", "8080", "--json"]
    there, here = (json.loads(lab.run("trace", *row, *more).stdout) for more in ((), ("--from", str(made[1]))))
    assert there == here


def _answer(row: dict[str, Any]) -> str:
    """Without the example, which is the first pair's: first of what was read, or of what was created."""
    return json.dumps({name: value for name, value in row.items() if name != "example"})


def test_every_account_has_its_network(lab: Lab) -> None:
    """In the Region it was recorded in; the first account is the installation's."""
    seen = lab.json("status")["vpcs"]
    assert {(vpc["owner_id"], vpc["region"]) for vpc in seen} == {
        ("111122223333", "us-east-1"), ("444455556666", "us-east-1"), ("444455556666", "eu-west-1"), ("111122223333", "eu-west-1"),
        ("111122223333", "us-west-2"),
    }  # fmt: skip
    assert len({vpc["cidr"] for vpc in seen}) < len(seen)
    assert [vpc["CidrBlock"] for vpc in lab.ec2.describe_vpcs()["Vpcs"]] == ["10.0.0.0/16"]
    key = lab.json("account", "key", "444455556666")
    assert key["account_id"] == "444455556666"
