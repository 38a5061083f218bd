"""Flows kept for `ringfence flows`, and why they were refused (spec D-16, section 7)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.exposition import text
from ringfence.flow_history import FlowHistory, answer, suggestions
from ringfence.insight.flowlogs.records import Observation, Reject, Taken
from ringfence.insight.flowlogs.why import explained
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import Index
from ringfence.store.flows import Flow, FlowStore
from tests.insight.flowlogs.lab import IN, OUT, START, Lab, seen


class History(Lab):
    """A lab whose counters' readings are kept."""

    def __init__(self, path: Path, most: int = 1000) -> None:
        super().__init__("10.0.0.0/16", "10.0.0.0/24")
        self.store = FlowStore(path, most=most)
        self.history = FlowHistory(self.store)
        self.own, self.peer = self.interface("10.0.0.10"), self.interface("10.0.0.11")

    def count(self, *observations: Observation) -> None:
        self.history.seen(self.world, Taken(until=START + 60, observations=observations))

    def ask(self, **request: Any) -> Any:
        return answer(self.history, self.store, request)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "flows.db")
    yield made
    made.store.close()


def refused(lab: History, layer: str, *, port: int = 22, source: str = "10.0.0.11", **more: Any) -> Observation:
    reject = Reject(layer=layer)
    return seen(lab.own, IN, source, "10.0.0.10", ports=(40000, port), accepted=False, reject=reject, **more)


def test_flows_are_kept_and_shown_with_awss_names(lab: History) -> None:
    lab.count(
        seen(lab.own, IN, "10.0.0.11", "10.0.0.10", ports=(40000, 80), packets=3, octets=180, tcp_flags=2),
        refused(lab, "sg-ingress", octets=40),
    )
    first, second = lab.ask()["flows"]
    assert first | {"region": "r"} == {
        "account-id": "111122223333", "region": "r", "vpc-id": lab.vpc, "subnet-id": lab.subnet, "interface-id": lab.own,
        "instance-id": None, "srcaddr": "10.0.0.11", "dstaddr": "10.0.0.10", "srcport": 40000, "dstport": 80,
        "protocol": 6, "packets": 3, "bytes": 180, "start": START + 5, "end": START + 5, "action": "ACCEPT",
        "flow-direction": "ingress", "tcp-flags": 2,
    }  # fmt: skip
    assert second["ringfence-reason"] == {"layer": "sg-ingress", "component": lab.group, "rule": None}


def test_the_entry_of_a_network_acl_that_refused(lab: History) -> None:
    acl = lab.api.call("DescribeNetworkAcls")["NetworkAcls"][0]["NetworkAclId"]
    entry = {
        "NetworkAclId": acl,
        "Egress": False,
        "RuleAction": "deny",
        "Protocol": "6",
        "CidrBlock": "198.51.100.0/24",
    }
    lab.api.call("CreateNetworkAclEntry", RuleNumber=50, PortRange={"From": 22, "To": 22}, **entry)
    index = Index(compile_world(lab.world))

    def why(observation: Observation) -> Reject | None:
        return explained(index, observation)

    at = "198.51.100.7"
    assert why(refused(lab, "nacl-in", source=at)) == Reject(layer="nacl-in", component=acl, rule="50")
    # the rules of now admit it, so they changed in between; a counter need not tell ICMP types
    assert why(refused(lab, "nacl-in", source=at, port=23)) == Reject(layer="nacl-in", component=acl)
    assert why(refused(lab, "nacl-in", source=at, protocol=1)) == Reject(layer="nacl-in", component=acl)
    ping = {"Egress": False, "RuleAction": "deny", "Protocol": "1", "CidrBlock": "198.51.100.0/24", "NetworkAclId": acl}
    lab.api.call("CreateNetworkAclEntry", RuleNumber=40, IcmpTypeCode={"Type": 8, "Code": 0}, **ping)
    index = Index(compile_world(lab.world))
    for icmp, rule in (((8, 0), "40"), ((8, 1), None), ((0, 0), None)):
        assert why(refused(lab, "nacl-in", source=at, protocol=1, icmp=icmp)) == Reject(
            layer="nacl-in", component=acl, rule=rule
        )
    gone = replace(refused(lab, "nacl-in", source=at), interface_id="eni-0000000000000000f")
    assert why(gone) == Reject(layer="nacl-in")
    told = replace(refused(lab, "nacl-in"), reject=Reject(layer="nacl-in", component="acl-1", rule="7"))
    assert why(told) == told.reject
    assert why(seen(lab.own, IN, at, "10.0.0.10")) is None
    assert why(refused(lab, "dest-check")) == Reject(layer="dest-check", component=lab.own)


def test_filters(lab: History) -> None:
    lab.count(
        seen(lab.own, IN, "10.0.0.11", "10.0.0.10", ports=(40000, 80), at=START),
        seen(lab.peer, OUT, "10.0.0.11", "10.0.0.10", ports=(40000, 80), at=START + 10),
        seen(lab.peer, OUT, "10.0.0.11", "192.0.2.9", ports=(40001, 53), protocol=17, at=START + 20),
        refused(lab, "sg-ingress", source="2001:db8::7", at=START + 30),
    )

    def ports(**wanted: str) -> list[int]:
        return [
            flow["dstport"] for flow in lab.ask(wanted={k.replace("_", "-"): v for k, v in wanted.items()})["flows"]
        ]

    assert ports() == [80, 80, 53, 22]
    assert ports(interface=lab.own) == [80, 22]
    assert ports(source="10.0.0.0/28") == [80, 80, 53]
    assert ports(source="2001:db8::/32") == ports(action="REJECT") == ports(layer="sg-ingress") == [22]
    assert ports(address="192.0.2.9,2001:db8::7") == [53, 22]
    assert ports(port="80,53", protocol="6") == [80, 80]
    assert ports(source_port="40001") == ports(protocol="17") == [53]
    assert ports(direction="egress", action="accept") == [80, 53]
    assert ports(since=str(START + 15), until=str(START + 25)) == [53]
    assert ports(component=lab.group) == [22]


@pytest.mark.parametrize(
    "wanted",
    [
        {"source": "10.0.0.300"},
        {"port": "http"},
        {"action": "DROP"},
        {"nothing": "x"},
        {"since": "soon"},
        {"vpc; --": "x"},
    ],
)
def test_filters_that_make_no_sense(lab: History, wanted: dict[str, str]) -> None:
    assert lab.ask(wanted=wanted)["status"] == 2
    assert lab.ask(wanted=wanted, top=["source"])["status"] == 2


def test_what_has_the_most(lab: History) -> None:
    for n in range(3):
        lab.count(
            *(refused(lab, "sg-ingress", source=f"192.0.2.{m}", octets=100 * m, packets=n + 1) for m in (1, 2, 3))
        )
    top = lab.ask(top=["source"], limit=2)["top"]
    assert top == [
        {"source": "192.0.2.3", "flows": 3, "packets": 6, "bytes": 900},
        {"source": "192.0.2.2", "flows": 3, "packets": 6, "bytes": 600},
    ]
    (only,) = lab.ask(top=["action", "layer", "component", "rule"])["top"]
    assert (only["action"], only["layer"], only["component"], only["rule"]) == ("REJECT", "sg-ingress", lab.group, "-")
    assert lab.ask(top=["sources"])["status"] == 2


def test_following_misses_nothing_and_repeats_nothing(lab: History) -> None:
    got: list[int] = []
    after = 0
    for n in range(7):
        lab.count(*(refused(lab, "sg-ingress", port=10 * n + m + 1) for m in range(4)))
        reply = lab.ask(after=after, oldest=True, limit=3)
        got += [flow["dstport"] for flow in reply["flows"]]
        after = reply["last"]
    while (reply := lab.ask(after=after, oldest=True, limit=3))["flows"]:
        got += [flow["dstport"] for flow in reply["flows"]]
        after = reply["last"]
    assert got == [10 * n + m + 1 for n in range(7) for m in range(4)]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    lab = History(tmp_path / "flows.db", most=5)
    for port in range(1, 9):
        lab.count(refused(lab, "sg-ingress", port=port))
    assert [flow["dstport"] for flow in lab.ask()["flows"]] == [4, 5, 6, 7, 8]
    lab.history.seen(lab.world, Taken(until=START + 8 * 86_400))
    assert lab.ask()["flows"] == []
    lab.store.close()


def test_a_disk_that_fails_is_said_and_let_go(lab: History, caplog: pytest.LogCaptureFixture) -> None:
    lab.store._db.execute("create trigger full before insert on part begin select raise(abort, 'full'); end")
    lab.count(refused(lab, "sg-ingress"))
    assert "flows are not kept" in caplog.text
    lab.store._db.execute("drop trigger full")
    lab.count(refused(lab, "sg-ingress"))
    assert len(lab.ask()["flows"]) == 1


def test_interfaces_nobody_knows_are_left_out(lab: History) -> None:
    assert lab.ask()["counting"] is False
    lab.count(replace(refused(lab, "sg-ingress"), interface_id="eni-00000000000000001"))
    assert lab.ask() == {"flows": [], "last": 0, "counting": True}


@given(st.lists(st.ip_addresses(), min_size=1, max_size=20), st.data())
def test_a_block_is_a_span_of_addresses(
    tmp_path_factory: pytest.TempPathFactory, addresses: list[Any], data: st.DataObject
) -> None:
    held = data.draw(st.sampled_from(addresses))
    prefix = data.draw(st.integers(0, held.max_prefixlen))
    block = ip_network(f"{held}/{prefix}", strict=False)
    store = FlowStore(Path(mkdtemp(dir=tmp_path_factory.getbasetemp())) / "flows.db")
    flow = Flow(
        first=0, last=0, account="1", region="r", vpc="v", subnet="s", interface="e", direction="ingress", accepted=True,
        source=held, destination=ip_address("192.0.2.1"), protocol=6, packets=1, octets=1,
    )  # fmt: skip
    store.put([replace(flow, source=address) for address in addresses], 0)
    found = [one.source for one in store.find({"source": str(block)})]
    assert found == [a for a in addresses if a.version == block.version and a in block]
    store.close()


def test_the_file_is_private(lab: History, tmp_path: Path) -> None:
    assert (tmp_path / "flows.db").stat().st_mode & 0o777 == 0o600
    assert sqlite3.connect(tmp_path / "flows.db").execute("select count(*) from part").fetchone() == (0,)


def test_suggestions_from_what_is_kept(lab: History) -> None:
    lab.log()
    rule = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    lab.api.call("AuthorizeSecurityGroupIngress", GroupId=lab.group, IpPermissions=[rule])
    for n in range(3):
        lab.count(seen(lab.own, IN, "10.0.0.11", "10.0.0.10", ports=(40000 + n, 80), tcp_flags=2, octets=100))
    found = suggestions(lab.world, lab.store, {"groups": [lab.group]})
    assert found["observed"] == {"flows": 3, "from": START + 5, "to": START + 5}
    ingress, egress = sorted(found["rules"], key=lambda use: use["rule"]["direction"], reverse=True)
    assert (ingress["verdict"], ingress["conversations"], ingress["bytes"]) == ("could be narrower", 3, 300)
    assert [(r["protocol"], r["from_port"], r["to_port"], r["peer"]) for r in ingress["instead"]] == [
        ("tcp", 80, 80, "10.0.0.11/32")
    ]
    assert (egress["verdict"], egress["instead"]) == ("never needed", [])
    assert found["proof"]["sound"] is True
    assert suggestions(lab.world, lab.store, {"groups": ["sg-0"]})["status"] == 2
    assert suggestions(lab.world, lab.store, {"wanted": {"since": "x"}})["status"] == 2


def test_packets_by_what_became_of_them(lab: History) -> None:
    assert text(lab.history.measures()) == ""
    lab.count(seen(lab.own, IN, "10.0.0.11", "10.0.0.10", packets=5), refused(lab, "sg-ingress", packets=2))
    lab.count(refused(lab, "sg-ingress"), refused(lab, "nacl-in", packets=4))
    lines = text(lab.history.measures()).splitlines()
    assert {line for line in lines if "packets" in line and line[0] != "#"} == {
        "ringfence_flow_packets_accepted_total 5",
        'ringfence_dropped_packets_total{reason="nacl-in"} 4',
        'ringfence_dropped_packets_total{reason="sg-ingress"} 3',
    }
