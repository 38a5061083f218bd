"""The internet gateway's namespace: stateless one-to-one NAT and what the gateway refuses. Pure.

Reasons and measurements: docs/adr/0003-edge-nat.md. No connection tracking runs here, so a moved Elastic IP takes
effect with the next packet (IGW-04, IGW-11). Destinations are translated before the routing decision, sources after
it: an error the gateway itself sends (too big) then quotes and meets the private address. Errors of others are
translated together with the header they quote.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from ringfence.dataplane.nftables.base import DISCOVERY
from ringfence.dataplane.nftables.fields import (
    DADDR,
    IIFNAME,
    IP6_DADDR,
    IP6_SADDR,
    IP_DADDR,
    IP_SADDR,
    IPV4,
    META_L4PROTO,
    META_NFPROTO,
    OIFNAME,
    SADDR,
    TH_SPORT,
    Field,
)
from ringfence.dataplane.nftables.objects import INET, Chain, Element, Hook, Set, Table
from ringfence.dataplane.nftables.pieces import Piece
from ringfence.dataplane.nftables.terms import (
    ACCEPT,
    DROP,
    RETURN,
    Between,
    Is,
    Member,
    Rewrite,
    Rule,
    Within,
    goto,
    jump,
)
from ringfence.dataplane.plan import EDGE_INTERNET, EDGE_VPC
from ringfence.model.net import IPV6_POOL, UNROUTABLE
from ringfence.policy.ir import Edge, Vpc

PRIVATE = Set("private", (IPV4,), IPV4)  # public address → private address
PUBLIC = Set("public", (IPV4,), IPV4)  # private address → public address
OWN_PUBLIC = Set("own-public", (IPV4,))

REFUSE = goto("refuse-gateway")
IPV6_ONLY, IPV4_ONLY = Is(META_NFPROTO, 10), Is(META_NFPROTO, 2)
_ERRORS: tuple[tuple[int, int], ...] = ((3, 3), (11, 12))  # ICMP types that quote the packet they are about


def _errors(rewrite: Rewrite) -> tuple[Rule, ...]:
    return tuple((Is(META_L4PROTO, 1), Between(TH_SPORT, a << 8, b << 8 | 255), rewrite) for a, b in _ERRORS)


def _refuse(fields: dict[int, Field]) -> tuple[Rule, ...]:
    """Refuse what must not be on the internet, by source or by destination (IGW-08); else come back."""
    ours = (Within(fields[6], IPV6_POOL), RETURN)
    return (ours, *((Within(fields[block.version], block), REFUSE) for block in UNROUTABLE))


_FROM_VPC: tuple[Rule, ...] = (
    DISCOVERY,
    (jump("unroutable-destination"),),
    (jump("not-to-vpc"),),
    (IPV6_ONLY, goto("ipv6-from-vpc")),
    *_errors(Rewrite(2, 20, PRIVATE.name)),
    (Rewrite(1, 16, PRIVATE.name), ACCEPT),  # to a public address of this VPC: comes back with a public source
    (ACCEPT,),
)
_FROM_INTERNET: tuple[Rule, ...] = (
    DISCOVERY,
    (jump("unroutable-source"),),
    (jump("not-from-vpc"),),
    (Member((IP_SADDR,), OWN_PUBLIC.name), REFUSE),
    (IPV6_ONLY, goto("ipv6-to-vpc")),
    *_errors(Rewrite(2, 20, PRIVATE.name)),
    (Rewrite(1, 16, PRIVATE.name), ACCEPT),
    (REFUSE,),
)
_ARRIVE: tuple[Rule, ...] = (
    (Is(IIFNAME, EDGE_VPC), goto("from-vpc")),
    (Is(IIFNAME, EDGE_INTERNET), goto("from-internet")),
    (Is(IIFNAME, "lo"), ACCEPT),
    (REFUSE,),
)
_FORWARD: tuple[Rule, ...] = (
    (Is(IIFNAME, EDGE_VPC), Is(OIFNAME, EDGE_INTERNET), ACCEPT),
    (Is(IIFNAME, EDGE_INTERNET), Is(OIFNAME, EDGE_VPC), ACCEPT),
    (Is(IIFNAME, EDGE_VPC), Is(OIFNAME, EDGE_VPC), IPV4_ONLY, ACCEPT),
    (REFUSE,),
)
_LEAVE: tuple[Rule, ...] = (
    (Is(IIFNAME, EDGE_VPC), IPV4_ONLY, goto("to-public")),
    (ACCEPT,),
)
_TO_PUBLIC: tuple[Rule, ...] = (
    *_errors(Rewrite(2, 24, PUBLIC.name)),
    (Rewrite(1, 12, PUBLIC.name), ACCEPT),
    (REFUSE,),  # no public address, no internet (IGW-05)
)
_LOCAL: tuple[Rule, ...] = (
    (Is(OIFNAME, "lo"), ACCEPT),
    DISCOVERY,
    (Is(META_L4PROTO, 1), Is(TH_SPORT, 3 << 8 | 4), ACCEPT),
    (Is(META_L4PROTO, 58), Is(TH_SPORT, 2 << 8), ACCEPT),
    (REFUSE,),
)


def edge_table() -> Table:
    """The table of a gateway that translates nothing yet: it refuses everything."""
    chains = (
        Chain("arrive", _ARRIVE, Hook("prerouting", -300)),
        Chain("forward", _FORWARD, Hook("forward", 0)),
        Chain("leave", _LEAVE, Hook("postrouting", 100)),
        Chain("input", ((Is(IIFNAME, "lo"), ACCEPT), DISCOVERY, (REFUSE,)), Hook("input", 0)),
        Chain("output", _LOCAL, Hook("output", 0)),
        Chain("from-vpc", _FROM_VPC),
        Chain("from-internet", _FROM_INTERNET),
        Chain("to-public", _TO_PUBLIC),
        Chain("unroutable-destination", _refuse(DADDR)),
        Chain("unroutable-source", _refuse(SADDR)),
        Chain("refuse-gateway", ((DROP,),)),
        *_block_chains((), ()),
    )
    sets = {each.name: each for each in (PRIVATE, PUBLIC, OWN_PUBLIC)}
    return Table(INET, chains={chain.name: chain for chain in chains}, sets=sets)


def _block_chains(four: Iterable[IPv4Network], six: Iterable[IPv6Network]) -> tuple[Chain, ...]:
    """The chains that know the VPC's blocks: the gateway routes only IPv6 of its VPC, untranslated (IGW-07)."""
    four, six = tuple(four), tuple(six)
    return (
        Chain(
            "not-to-vpc",
            (*((Within(IP_DADDR, b), REFUSE) for b in four), *((Within(IP6_DADDR, b), REFUSE) for b in six)),
        ),
        Chain(
            "not-from-vpc",
            (*((Within(IP_SADDR, b), REFUSE) for b in four), *((Within(IP6_SADDR, b), REFUSE) for b in six)),
        ),
        Chain("ipv6-from-vpc", (*((Within(IP6_SADDR, b), ACCEPT) for b in six), (REFUSE,))),
        Chain("ipv6-to-vpc", (*((Within(IP6_DADDR, b), ACCEPT) for b in six), (REFUSE,))),
    )


def edge_piece(edge: Edge, vpc: Vpc | None) -> Piece:
    """The translations and blocks of an attached gateway."""
    elements: list[tuple[str, str, Element]] = []
    for public, private in edge.nat:
        elements.append((INET, PRIVATE.name, Element((public,), data=private)))
        elements.append((INET, PUBLIC.name, Element((private,), data=public)))
        elements.append((INET, OWN_PUBLIC.name, Element((public,))))
    chains = _block_chains(vpc.ipv4 if vpc else (), edge.ipv6)
    return Piece(tuple((INET, chain) for chain in chains), tuple(elements))
