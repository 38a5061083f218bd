"""What the proof must say of a VPC with peers and a gateway endpoint: as it should be, and with one thing wrong at their links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from ringfence.dataplane.plan import (
    ENDPOINTS,
    GATEWAY,
    PEER,
    RELAY,
    endpoint_link,
    kernel_table,
    link_group,
    peer_links,
)
from ringfence.dataplane.verify.program import Compare, Decide, Load, Program
from ringfence.dataplane.verify.snapshot import Entry
from ringfence.policy.ir import Allow, Endpoint, Fragment, GroupMembers, Peering, PeerMembers, Route, Via
from tests.dataplane.verify.battery import WORLDS, Change, Held, Wrong, _no_route, _route, _word, said
from tests.kernel.worlds import INTERNET_ROUTES, LOCAL_ROUTES, VPC, B, allow, eni, match, pair, table

SERVICE = Endpoint(endpoint_id="vpce-0000000001", vpc_id=VPC, blocks=(IPv4Network("198.18.0.64/30"),))
PEERS = {
    pcx: (IPv4Network(f"10.{number}.0.0/16"), IPv6Network(f"2001:db8:{number + 1}::/56"))
    for number, pcx in enumerate(("pcx-1", "pcx-2"), 1)
}


def joined() -> list[Fragment]:
    """Two peers, one of which has a group that a rule names, a gateway endpoint, a gateway, and an appliance."""
    ways = [
        Peering(peering_id=pcx, vpc_id=VPC, far_vpc_id=f"vpc-{pcx}", ipv4=(four,), ipv6=(six,), same_region=True)
        for pcx, (four, six) in PEERS.items()
    ]
    there = GroupMembers(group_id="sg-far", vpc_id="vpc-pcx-1", ipv4=(IPv4Address("10.1.0.10"),), ipv6=())
    named = Allow(rule_id="sgr-far", match=replace(match("tcp", "5432", "sg-far"), peer="vpc-pcx-1"))
    routes = [
        *LOCAL_ROUTES, *INTERNET_ROUTES,
        *(Route(destination=block, via=Via.PEERING, target=pcx) for pcx, blocks in PEERS.items() for block in blocks),
        Route(destination=SERVICE.blocks[0], via=Via.ENDPOINT, target=SERVICE.endpoint_id),
    ]  # fmt: skip
    return pair(
        [named, allow("tcp", "80")], table(routes=routes), *ways, eni(B, 2, 2, 10, ["sg-b"], check=False), SERVICE,
        PeerMembers(peering_id="pcx-1", vpc_id=VPC, groups=(there,)),
    )  # fmt: skip


WORLDS["joined"] = joined
_MAIN, _OWN, _RELAYED = 254, kernel_table(1), kernel_table(1 + RELAY)
_P1, _P2 = (peer_links(pcx)[0] for pcx in PEERS)
_KINDS = {"a peer": PEER, "an endpoint": ENDPOINTS, "the internet": GATEWAY, "an interface": "e1"}


def _links(key: int, kind: str) -> Program:
    """Holds for packets that came by (meta 21), or leave by (22), a link of a kind."""
    return (Load(("meta", key), 0), Compare(0, 0, _word(link_group(_KINDS[kind])))) if kind else ()


def _lets(chain: str, come: str, leave: str, then: str = "done") -> Wrong:
    """A rule in front of a chain for what comes and leaves so."""
    rule = (*_links(21, come), *_links(22, leave), Decide("goto", then))
    name = f"from {come or 'anywhere'} to {leave or 'anywhere'} by {chain}"
    return _wrong(name, lambda h: h.rules(chain).insert(0, rule))


def _wrong(name: str, change: Change, proof: str = "admits") -> Wrong:
    return Wrong(name, proof, change, "joined")


def _member(held: Held, old: bytes, new: bytes) -> None:
    """One more member of the far group, in place of another's address or connection."""
    members = held.set(r"far-in4\..*")
    members.append(Entry(members[0].key.replace(old, new), b"", b""))


WRONG = (
    _lets("in-ask", "a peer", "a peer", "to-peer"),
    _lets("in-ask", "a peer", "the internet"),
    _lets("forward", "a peer", "an endpoint"),
    _lets("in-ask", "the internet", "a peer", "to-peer"),
    _lets("in-ask", "an endpoint", "a peer", "to-peer"),
    _lets("forward", "an endpoint", "the internet"),
    _lets("forward", "the internet", "an endpoint"),
    _lets("forward", "an interface", "a peer"),
    _lets("forward", "an interface", "an endpoint"),
    _lets("forward", "", "a peer", "to-peer"),
    _lets("forward", "", "an endpoint", "out"),
    _lets("input", "a peer", ""),
    _lets("input", "an endpoint", ""),
    _lets("forward", "a peer", ""),
    _lets("forward", "an endpoint", ""),
    _lets("to-peer", "", "", "over-peer"),
    _lets("over-peer", "", ""),
    _wrong("nothing to a peer", lambda h: h.set("peers").clear(), "refuses"),
    _wrong("a peer's packets are refused", lambda h: h.rules("forward").pop(3), "refuses"),
    _wrong("a service's answers are refused", lambda h: h.rules("forward").pop(4), "refuses"),
    _wrong("a member more of a far group", lambda h: _member(h, bytes((10, 1, 0, 10)), bytes((10, 1, 0, 11)))),
    _wrong("a far group over another connection", lambda h: _member(h, _P1.encode(), _P2.encode())),
    _wrong("to another peer", lambda h: _route(h, _OWN, "10.1.7.0/24", _P2)),
    _wrong("to a peer as if straight", lambda h: _route(h, _RELAYED, "10.1.7.0/24", _P1)),
    _wrong("to a peer as if passed on", lambda h: _route(h, _OWN, "10.1.7.0/24", peer_links("pcx-1")[1])),
    _wrong("what comes from a peer leaves again", lambda h: _route(h, _MAIN, "10.0.9.0/24", _P1)),
    _wrong("no way to the service", lambda h: _no_route(h, _OWN, "198.18.0.64/30"), "refuses"),
    _wrong(
        "more than the list to the service",
        lambda h: _route(h, _OWN, "198.18.0.68/30", endpoint_link(SERVICE.endpoint_id)),
    ),
)


def problems() -> Iterator[str]:
    """Everything that is not said as it should be, the healthy world first."""
    if told := said(None, "joined"):
        yield f"joined: {told}"
    for wrong in WRONG:
        if wrong.proof not in (told := said(wrong)):
            yield f"{wrong.name}: {told or 'nothing'}, not {wrong.proof}"
