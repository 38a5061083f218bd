"""Rules never needed, and the narrowest that would have done, each proven (issue: flow logs and monitoring, item 6)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.insight.flowlogs.openings import Opening, openings
from ringfence.insight.flowlogs.records import ACK, FIN, SYN, Observation
from ringfence.insight.flowlogs.suggest import MOST_RULES, Suggestions, Use, narrower, suggest
from ringfence.model.kinds import SECURITY_GROUP
from ringfence.model.nouns.security_group import SecurityGroupRule
from tests.insight.flowlogs.lab import IN, OUT, START, Lab, seen

WEB, CLIENT = "10.0.0.10", "10.0.0.20"


class Rules(Lab):
    """A web server with a group of its own, a client with another, and a flow log of the VPC."""

    def __init__(self) -> None:
        super().__init__("10.0.0.0/16", "10.0.0.0/24")
        self.web, self.clients = self.api.group(self.vpc, "servers"), self.api.group(self.vpc, "clients")
        self.server = self.api.interface(self.subnet, self.web, PrivateIpAddress=WEB)
        self.client = self.api.interface(self.subnet, self.clients, PrivateIpAddress=CLIENT)
        self.log()

    def allow(self, protocol: str = "tcp", ports: tuple[int, int] = (0, 65535), **peer: Any) -> str:
        """One more ingress rule of the server's group."""
        how: dict[str, Any] = {"IpProtocol": protocol, "FromPort": ports[0], "ToPort": ports[1]}
        if protocol == "-1":
            how = {"IpProtocol": "-1"}
        if "group" in peer:
            how["UserIdGroupPairs"] = [{"GroupId": peer["group"]}]
        else:
            how["IpRanges"] = [{"CidrIp": peer.get("cidr", "10.0.0.0/16")}]
        made = self.api.call("AuthorizeSecurityGroupIngress", GroupId=self.web, IpPermissions=[how])
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def hit(self, port: int, source: str = CLIENT, protocol: int = 6, **more: Any) -> Observation:
        """A packet that opens a conversation with the server."""
        flags = {"tcp_flags": SYN} if protocol == 6 else {}
        return seen(self.server, IN, source, WEB, ports=(40_000, port), protocol=protocol, **{**flags, **more})

    def suggest(self, *seen_: Observation) -> Suggestions:
        return suggest(self.world, openings(seen_), frozenset({self.web}))

    def ingress(self, found: Suggestions) -> dict[str, Use]:
        return {use.rule.id: use for use in found.uses if not use.rule.egress}


@pytest.fixture
def lab() -> Rules:
    return Rules()


def shown(rules: list[SecurityGroupRule] | None) -> set[tuple[Any, ...]]:
    return {(r.protocol, r.from_port, r.to_port, str(r.cidr or (r.group and r.group.group_id))) for r in rules or ()}


# ---------------------------------------------------------------------- who opened
def test_the_side_that_sent_a_syn_opened_it(lab: Rules) -> None:
    there = lab.hit(80, tcp_flags=SYN | FIN, at=START + 2)
    back = seen(lab.server, OUT, WEB, CLIENT, ports=(80, 40_000), tcp_flags=SYN | ACK | FIN, at=START + 1)
    (one,) = openings([back, there, replace(there, tcp_flags=0, first=START + 70, last=START + 70)])
    assert (one.direction, one.destination_port, one.packets) == (IN, 80, 2)
    same = [
        replace(one, source_port=5060, destination_port=5060) for one in (there, back)
    ]  # ports do not tell, time would mislead
    assert [one.direction for one in openings(same)] == [IN]


def test_without_a_syn_ports_tell_then_time_and_else_both_may_have(lab: Rules) -> None:
    there = lab.hit(53, protocol=17, at=START)
    back = seen(lab.server, OUT, WEB, CLIENT, ports=(53, 40_000), protocol=17, at=START)
    assert [one.direction for one in openings([back, there])] == [IN]
    there, back = (replace(one, source_port=5060, destination_port=5060) for one in (there, back))
    later = replace(back, first=START + 1, last=START + 1)
    assert [one.direction for one in openings([later, there])] == [IN]
    assert sorted(one.direction for one in openings([back, there])) == [OUT, IN]
    assert list(openings([replace(there, accepted=False)])) == []


# ---------------------------------------------------------------------- suggestions
def test_a_wide_rule_becomes_what_was_needed_of_it(lab: Rules) -> None:
    wide = lab.allow()
    found = lab.suggest(lab.hit(80), lab.hit(81), lab.hit(443, source="10.0.0.21"), lab.hit(443))
    use = lab.ingress(found)[wide]
    assert use.verdict == "could be narrower"
    assert shown(use.instead) == {(6, 80, 81, "10.0.0.20/32"), (6, 443, 443, "10.0.0.20/31")}
    assert found.proof.sound
    assert (found.proof.replayed, found.proof.refused, found.proof.opened) == (4, (), ())
    assert found.proof.closed > 0


def test_ports_that_lie_apart_are_not_bridged(lab: Rules) -> None:
    rule = lab.allow()
    found = lab.suggest(lab.hit(80), lab.hit(90), lab.hit(91))
    assert shown(lab.ingress(found)[rule].instead) == {(6, 80, 80, "10.0.0.20/32"), (6, 90, 91, "10.0.0.20/32")}


def test_a_rule_that_nothing_needed_goes(lab: Rules) -> None:
    needed, unneeded = lab.allow(ports=(80, 80), cidr=f"{CLIENT}/32"), lab.allow(ports=(22, 22))
    found = lab.suggest(lab.hit(80))
    uses = lab.ingress(found)
    assert uses[needed].verdict == "as narrow as what was seen"
    assert (uses[unneeded].verdict, uses[unneeded].instead) == ("never needed", [])
    after = found.after.find(SECURITY_GROUP, lab.web)
    assert after is not None
    assert [rule.id for rule in after.ingress_rules] == [needed]
    assert found.proof.sound


def test_without_a_flow_log_nothing_is_called_unneeded(lab: Rules) -> None:
    """The rule stays: what no counter saw proves nothing."""
    rule = lab.allow(ports=(22, 22))
    bare = Rules.__new__(Rules)
    Lab.__init__(bare, "10.0.0.0/16", "10.0.0.0/24")
    bare.web = bare.api.group(bare.vpc, "servers")
    bare.server = bare.api.interface(bare.subnet, bare.web, PrivateIpAddress=WEB)
    rule = bare.allow(ports=(22, 22))
    found = bare.suggest()
    use = bare.ingress(found)[rule]
    assert (use.verdict, use.uncovered) == ("not seen to be needed", (bare.server,))
    assert found.after is bare.world


def test_a_rule_for_a_group_keeps_its_peer(lab: Rules) -> None:
    rule = lab.allow(group=lab.clients)
    found = lab.suggest(lab.hit(5432))
    assert shown(lab.ingress(found)[rule].instead) == {(6, 5432, 5432, lab.clients)}
    assert found.proof.sound


def test_every_protocol_of_a_rule_for_all_traffic(lab: Rules) -> None:
    rule = lab.allow("-1", cidr="10.0.0.0/24")
    found = lab.suggest(lab.hit(80), lab.hit(53, protocol=17), lab.hit(0, protocol=1), lab.hit(0, protocol=47))
    assert shown(lab.ingress(found)[rule].instead) == {
        (6, 80, 80, "10.0.0.20/32"), (17, 53, 53, "10.0.0.20/32"), (1, -1, -1, "10.0.0.20/32"), (47, -1, -1, "10.0.0.20/32")
    }  # fmt: skip
    assert found.proof.sound


def test_many_ports_and_many_peers_are_taken_together(lab: Rules) -> None:
    rule = lab.allow(cidr="10.0.0.0/16")
    found = lab.suggest(*(lab.hit(80 + 2 * n, source=f"10.0.{n}.77") for n in range(20)))
    assert shown(lab.ingress(found)[rule].instead) == {(6, 80, 118, "10.0.0.0/19")}
    assert found.proof.sound


def test_what_no_rule_of_now_admits_is_told(lab: Rules) -> None:
    lab.allow(ports=(80, 80))
    found = lab.suggest(lab.hit(80), lab.hit(8080))
    assert (found.proof.replayed, found.proof.unexplained) == (1, 1)


def test_the_proof_fails_when_a_suggestion_opens_or_refuses(lab: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """A narrower rule that is none: the engine and the replay see it."""
    lab.allow(ports=(80, 80))
    import ringfence.insight.flowlogs.suggest as module

    wrong = SecurityGroupRule(id="x", egress=False, protocol=6, from_port=22, to_port=22, cidr=ip_network("0.0.0.0/0"))
    monkeypatch.setattr(module, "narrower", lambda rule, seen_: None if rule.egress else [wrong])
    proof = lab.suggest(lab.hit(80)).proof
    assert not proof.sound
    assert proof.opened
    assert [one.destination_port for one in proof.refused] == [80]


_PEERS = st.integers(0, 40).map(lambda n: str(ip_address("10.0.0.64") + n * 3))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([1, 6, 17, 47]), st.integers(1, 65535), _PEERS), min_size=1, max_size=15),
    st.sampled_from([(-1, -1, -1), (6, 0, 65535), (17, 1, 60_000), (6, 80, 443)]),
)
def test_narrower_rules_admit_what_was_seen_and_nothing_beyond_the_rule(
    seen_: list[tuple[int, int, str]], kind: tuple[int, int, int]
) -> None:
    rule = SecurityGroupRule(
        id="r", egress=False, protocol=kind[0], from_port=kind[1], to_port=kind[2], cidr=ip_network("10.0.0.0/24")
    )
    fitting = [
        Opening("eni", IN, ip_address(peer), ip_address(WEB), protocol, 40_000, port, 0.0)
        for protocol, port, peer in seen_
        if rule.protocol in (-1, protocol)
        and (protocol not in (6, 17) or rule.protocol == -1 or kind[1] <= port <= kind[2])
    ]
    made = narrower(rule, fitting)
    if made is None:
        return
    assert len(made) <= MOST_RULES or not fitting
    for one in fitting:
        assert any(_admits(each, one) for each in made)
    for each in made:
        assert each.cidr is not None
        assert each.cidr.subnet_of(rule.cidr)  # type: ignore[arg-type]
        assert rule.protocol in (-1, each.protocol)
        assert rule.protocol == -1 or (rule.from_port <= each.from_port <= each.to_port <= rule.to_port)


def _admits(rule: SecurityGroupRule, one: Opening) -> bool:
    assert rule.cidr is not None
    ports = one.protocol not in (6, 17) or rule.from_port <= one.destination_port <= rule.to_port
    return rule.protocol == one.protocol and ports and one.peer in rule.cidr
