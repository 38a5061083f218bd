"""The parts of a VPC's tables that never change: base chains, dispatch, the shortcut by connection state, refusals.

The way of a packet from one ENI to another (docs/architecture.md):

    prerouting  guard      pass 1: source and MAC are the ENI's own? mark := route table and bits of plan.py; zone := ENI
    forward     out        judged before? else state or groups' egress → network ACL, outbound   (leaves by l0, back on l1)
    prerouting  guard      pass 2: zone := the ENI that the route leads to
    forward     in         judged before? else network ACL, inbound → state or groups' ingress → destination check

What leads to a peer VPC leaves the second pass by `to-peer` and begins another second pass in the other VPC's namespace.

What an interface sends ends in `left`, what it gets in `arrived`, what is refused in one of the `refuse-*` chains, where flow logs
hook in (counting.py); `done` is the end of what concerns no interface. What nothing accepts is dropped.

Connection marks, bits 0-1: 0 untracked; 1 admitted, tracked, by egress rules; 2 by ingress rules. State admits a packet
only in the direction that belongs to its mark (CT-01, CT-02, CT-24): leaving, 1 in the first direction or 2 in the reply
direction; entering, the other way round. Untracked flows are asked for every packet (CT-04).

The other bits remember what was judged (docs/adr/0006): bits 6-31 a generation of the rules, bits 2-5 in which direction
network ACL and destination check let a packet of this TCP or UDP flow pass under it. While the generation is current, the
next packet in that direction would be let pass again and goes to `done` at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from ringfence.dataplane.nftables.fields import (
    ARP_SADDR_ETHER,
    ARP_SADDR_IP,
    CT_DIRECTION,
    CT_MARK,
    CT_ZONE,
    ETHER,
    ETHER_SADDR,
    FIB_OIFNAME,
    IFNAME,
    IIFGROUP,
    IIFNAME,
    IP6_DADDR,
    IP6_HOPLIMIT,
    IP6_SADDR,
    IP_DADDR,
    IP_SADDR,
    IPV4,
    IPV6,
    LINK,
    MARK,
    META_L4PROTO,
    META_MARK,
    OIFGROUP,
    OIFNAME,
    PORT,
    PROTOCOL,
    SADDR,
    TH_DPORT,
    TH_SPORT,
    ZONE,
    ZONE_PART,
)
from ringfence.dataplane.nftables.objects import ARP, INET, Chain, Hook, Set, Table
from ringfence.dataplane.nftables.terms import (
    ACCEPT,
    DROP,
    AddFlag,
    Between,
    Bits,
    ChangeMark,
    Dispatch,
    HasState,
    Is,
    Masked,
    Member,
    Named,
    NoWayBack,
    Rule,
    SetConnectionMark,
    SetMark,
    Term,
    Untrack,
    Within,
    goto,
)
from ringfence.dataplane.plan import (
    COUNTED,
    ENDPOINTS,
    GATEWAY,
    LOOP_IN,
    LOOP_OUT,
    OWN_SOURCE,
    PASS_ONE,
    PEER,
    PLAIN_TABLE,
    SAME_SUBNET,
)
from ringfence.model.net import Network

BEGUN_OUT, BEGUN_IN, BEGUN = 1, 2, 3  # connection marks
JUDGED = (1 << 2, 1 << 3)  # by direction: everything was asked
JUDGED_INSIDE = (1 << 4, 1 << 5)  # by direction: everything but a network ACL, which does not apply inside a subnet
FLAGS = 0x3C
GENERATION_SHIFT = 6
GENERATIONS = 0xFFFFFFFF ^ FLAGS ^ BEGUN
LAST_GENERATION = GENERATIONS >> GENERATION_SHIFT
CLOSED = 0  # no generation: nothing is remembered, everything is asked

REFUSALS = ("spoof", "sg-out", "acl-out", "acl-in", "sg-in", "destination", "router")

VERDICT = "verdict"
OWN4 = Set("own4", (LINK, ETHER, IPV4), VERDICT)
OWN6 = Set("own6", (LINK, ETHER, IPV6), VERDICT)
ANY_SOURCE = Set("any-source", (LINK, ETHER), VERDICT)
GATES = Set("gates", (LINK,), MARK)
OWNER4 = Set("owner4", (IPV4,), VERDICT)
OWNER6 = Set("owner6", (IPV6,), VERDICT)
LINKS = Set("links", (LINK, ZONE_PART), typeof="oifgroup . ct zone")
ZONE_OUT = Set("zone-out", (IFNAME,), VERDICT, typeof="fib daddr . mark oifname")
TIMEOUTS = Set("timeouts", (ZONE,), VERDICT, typeof="ct zone")
GENERATION = Set("generation", (MARK,))
SG_OUT = Set("sg-out", (LINK,), VERDICT)
SG_IN = Set("sg-in", (LINK,), VERDICT)
ACL_OUT = Set("acl-out", (LINK,), VERDICT)
ACL_IN = Set("acl-in", (LINK,), VERDICT)
DESTINATION4 = Set("destination4", (LINK, IPV4))
DESTINATION6 = Set("destination6", (LINK, IPV6))
PEERS = Set("peers", (IFNAME,), VERDICT)
ANY_DESTINATION = Set("any-destination", (LINK,))
SERVICES4 = Set("services4", (IPV4,))
SERVICES6 = Set("services6", (IPV6,))
LISTEN4 = Set("listen4", (IPV4, PROTOCOL, PORT))
LISTEN6 = Set("listen6", (IPV6, PROTOCOL, PORT))
INET_SETS = (
    OWN4, OWN6, ANY_SOURCE, GATES, OWNER4, OWNER6, LINKS, ZONE_OUT, TIMEOUTS, GENERATION, SG_OUT, SG_IN, ACL_OUT, ACL_IN,
    DESTINATION4, DESTINATION6, ANY_DESTINATION, PEERS, SERVICES4, SERVICES6, LISTEN4, LISTEN6,
)  # fmt: skip
#: sets that switch an interface on: filled last when a change must be cut
DISPATCH = frozenset(
    each.name
    for each in (OWN4, OWN6, ANY_SOURCE, GATES, OWNER4, OWNER6, ZONE_OUT, SG_OUT, SG_IN, ACL_OUT, ACL_IN, PEERS)
)
ARP_OWN = Set("own", (IFNAME, ETHER, IPV4))

SG_IN_ACCEPTS, SG_OUT_ACCEPTS = "destination", "acl-out"
PASSED = {"out": "left", "in": "arrived"}  # where what passes ends, by side
SG_IN_TRACKS, SG_OUT_TRACKS = "track-in", "track-out"

#: a client that has no address yet asks every DHCP server there is; only the VPC's is there (UF-02)
_ASKS_FOR_ADDRESS: Rule = (
    Is(IP_SADDR, IPv4Address("0.0.0.0")),  # noqa: S104  an address in a packet, not one to bind to
    Is(IP_DADDR, IPv4Address("255.255.255.255")),
    Is(META_L4PROTO, 17),
    Is(TH_DPORT, 67),
)
#: DHCPv6: all that clients ask, and what they are told, stays on their link (RFC 8415)
ALL_DHCP6_SERVERS = IPv6Address("ff02::1:2")
_ON_LINK = IPv6Network("fe80::/10")
_ASKS_DHCP6: Rule = (
    Within(IP6_SADDR, _ON_LINK),
    Is(IP6_DADDR, ALL_DHCP6_SERVERS),
    Is(META_L4PROTO, 17),
    Is(TH_DPORT, 547),
)
_TELLS_DHCP6: Rule = (Within(IP6_SADDR, _ON_LINK), Within(IP6_DADDR, _ON_LINK), Is(META_L4PROTO, 17), Is(TH_SPORT, 547))
_GUARD: tuple[Rule, ...] = (
    # only the loop keeps marks: the kernel clears them when a packet comes from another namespace
    (Bits(META_MARK, PASS_ONE, some=True), goto("pass-2")),
    # pass 1: chains of the ENI (render.py) set mark and zone
    (Dispatch((IIFGROUP, ETHER_SADDR, IP_SADDR), OWN4.name),),
    (Dispatch((IIFGROUP, ETHER_SADDR, IP6_SADDR), OWN6.name),),
    (SetMark((IIFGROUP,), GATES.name), goto("pass-2")),
    (*_ASKS_FOR_ADDRESS, Untrack(), ACCEPT),
    (Dispatch((IIFGROUP, ETHER_SADDR), ANY_SOURCE.name),),
    (Is(IIFNAME, "lo"), ACCEPT),
    (goto("refuse-spoof"),),
)
_PASS_2: tuple[Rule, ...] = (
    # where no route can lead the VPC's addresses astray, they lead to their owners: that spares the look-up of the route,
    # and another in its table; that the packet really leaves by its zone's own link is asked in `in`
    (Bits(META_MARK, PLAIN_TABLE, some=True), Dispatch((IP_DADDR,), OWNER4.name)),
    (Bits(META_MARK, PLAIN_TABLE, some=True), Dispatch((IP6_DADDR,), OWNER6.name)),
    (ChangeMark(0xFFFFFFFF ^ PASS_ONE ^ COUNTED),),
    (Dispatch((FIB_OIFNAME,), ZONE_OUT.name),),
    (Untrack(), ACCEPT),  # towards the gateway, or nowhere: no ENI, no connection table
)
_FORWARD: tuple[Rule, ...] = (
    (Is(OIFGROUP, LOOP_OUT), goto("out")),
    (Is(IIFGROUP, LOOP_IN), goto("in")),
    (Is(IIFGROUP, GATEWAY), goto("in")),
    (Is(IIFGROUP, PEER), goto("in")),  # the far VPC let it pass `to-peer`
    (Is(IIFGROUP, ENDPOINTS), goto("in")),
    (goto("refuse-router"),),
)
#: a new flow gets the idle times of its ENI (CT-13..15); comes back
_IDLE: Rule = (HasState("new"), Dispatch((CT_ZONE,), TIMEOUTS.name))
_OTHER_ZONE = Member((OIFGROUP, CT_ZONE), LINKS.name, absent=True)  # does not hold without a connection entry either
_SIDES = {"out": ((BEGUN_OUT, 0), (BEGUN_IN, 1)), "in": ((BEGUN_IN, 0), (BEGUN_OUT, 1))}  # side → (begun, direction)


def _state(side: str, then: str) -> tuple[Rule, ...]:
    """Admission by state: the direction that belongs to the mark, and errors about tracked flows (CT-12)."""
    return (
        *((Is(CT_DIRECTION, way), Masked(CT_MARK, BEGUN, begun), goto(then)) for begun, way in _SIDES[side]),
        (HasState("related"), Masked(CT_MARK, BEGUN, 0, differs=True), goto(then)),
    )


_OUT_ASK: tuple[Rule, ...] = (
    *_state("out", SG_OUT_ACCEPTS),
    _IDLE,
    (Dispatch((IIFGROUP,), SG_OUT.name),),
    (goto("refuse-sg-out"),),
)
_IN_ASK: tuple[Rule, ...] = (
    (Is(IIFGROUP, LOOP_IN), Is(OIFGROUP, GATEWAY), goto("done")),
    (Is(IIFGROUP, LOOP_IN), Is(OIFGROUP, PEER), goto("to-peer")),
    (Is(IIFGROUP, LOOP_IN), Is(OIFGROUP, ENDPOINTS), goto("done")),
    (_OTHER_ZONE, goto("refuse-router")),  # owners and routes differ for the moment of a change
    (Bits(META_MARK, SAME_SUBNET, some=False), Dispatch((OIFGROUP,), ACL_IN.name)),  # comes back when the ACL allows
    *_state("in", SG_IN_ACCEPTS),
    _IDLE,
    (Dispatch((OIFGROUP,), SG_IN.name),),
    (goto("refuse-sg-in"),),
)
_ACL_OUT: tuple[Rule, ...] = (
    (
        Bits(META_MARK, SAME_SUBNET, some=True),
        goto("passed-out"),
    ),  # a network ACL judges what crosses its subnet (ACL-32)
    (Dispatch((IIFGROUP,), ACL_OUT.name),),
    (goto("refuse-acl-out"),),
)
_DESTINATION: tuple[Rule, ...] = (
    (Member((OIFGROUP, IP_DADDR), DESTINATION4.name), goto("passed-in")),
    (Member((OIFGROUP, IP6_DADDR), DESTINATION6.name), goto("passed-in")),
    (Member((OIFGROUP,), ANY_DESTINATION.name), goto("passed-in")),
    (goto("refuse-destination"),),
)
_TO_PEER: tuple[Rule, ...] = ((Dispatch((OIFNAME,), PEERS.name),), (goto("refuse-router"),))


def near_chain(blocks: Iterable[Network]) -> Chain:
    """To a peer VPC goes what has its source in the VPC (PCX-06, PCX-07); then the connection asks for the destination."""
    rules: list[Rule] = [(Within(SADDR[block.version], block), goto("over-peer")) for block in blocks]
    return Chain("to-peer", (*rules, (goto("refuse-router"),)))


# what may be remembered: flows whose every packet gets the same verdict; ICMP errors belong to the flow they are about
_FLOW = (6, 17)


def _passed(side: str) -> tuple[Rule, ...]:
    stamps = (
        (Is(META_L4PROTO, protocol), HasState("related", some=False), goto(f"stamp-{side}")) for protocol in _FLOW
    )
    return (*stamps, (goto(PASSED[side]),))


def flow_chains(generation: int) -> tuple[Chain, ...]:
    """The chains that know the generation of the rules: `out` and `in` look whether a flow was judged under it, the
    `stamp-*` remember that it was. CLOSED: they look at nothing and remember nothing."""
    inside = (Bits(META_MARK, SAME_SUBNET, some=True),)
    here = (Member((OIFGROUP, CT_ZONE), LINKS.name),)
    return (
        Chain("out", (*_judged("out", generation, JUDGED), (goto("out-ask"),))),
        Chain(
            "in",
            (
                *_judged("in", generation, JUDGED, *here),
                *_judged("in", generation, JUDGED_INSIDE, *inside, *here),
                (goto("in-ask"),),
            ),
        ),
        Chain("stamp-out", _stamps("out", generation, JUDGED)),
        Chain("stamp-in", ((*inside, goto("stamp-inside")), *_stamps("in", generation, JUDGED))),
        Chain("stamp-inside", _stamps("in", generation, JUDGED_INSIDE)),
    )


def _judged(side: str, generation: int, flags: tuple[int, int], *more: Term) -> tuple[Rule, ...]:
    """Let pass what was judged: the mark's begin and flag, its generation, the direction; no error about the flow."""
    if generation == CLOSED:
        return ()
    return tuple(
        (
            Masked(CT_MARK, GENERATIONS | BEGUN | flags[way], generation << GENERATION_SHIFT | begun | flags[way]),
            Is(CT_DIRECTION, way),
            HasState("related", some=False),
            *more,
            goto(PASSED[side]),
        )
        for begun, way in _SIDES[side]
    )


def _stamps(side: str, generation: int, flags: tuple[int, int]) -> tuple[Rule, ...]:
    """Only in the direction that state admits, so that the mark says why. Flags of the other direction are kept when they
    are of this generation, else forgotten."""
    rules: list[Rule] = []
    for begun, way in _SIDES[side] if generation != CLOSED else ():
        current = generation << GENERATION_SHIFT | begun
        rules += [
            (Is(CT_DIRECTION, way), AddFlag(GENERATIONS | BEGUN, current, flags[way]), goto(PASSED[side])),
            (
                Is(CT_DIRECTION, way),
                Masked(CT_MARK, BEGUN, begun),
                SetConnectionMark(current | flags[way]),
                goto(PASSED[side]),
            ),
        ]
    return (*rules, (goto(PASSED[side]),))


# neighbour discovery: types 133 to 136, never routed (hop limit 255)
DISCOVERY: Rule = (Is(META_L4PROTO, 58), Is(IP6_HOPLIMIT, 255), Between(TH_SPORT, 133 << 8, 136 << 8 | 255), ACCEPT)
_INPUT: tuple[Rule, ...] = (
    (Is(IIFNAME, "lo"), ACCEPT),
    (Is(IIFGROUP, GATEWAY), *DISCOVERY),
    (*_ASKS_FOR_ADDRESS, ACCEPT),
    (Bits(META_MARK, OWN_SOURCE, some=False), goto("refuse-router")),
    DISCOVERY,
    (*_ASKS_DHCP6, ACCEPT),
    (Member((IP_DADDR, META_L4PROTO, TH_DPORT), LISTEN4.name), ACCEPT),
    (Member((IP6_DADDR, META_L4PROTO, TH_DPORT), LISTEN6.name), ACCEPT),
    (goto("refuse-router"),),
)
# what the router itself says: answers of its services, neighbour discovery, "packet too big"; never "unreachable"
_OUTPUT: tuple[Rule, ...] = (
    (Is(OIFNAME, "lo"), ACCEPT),
    DISCOVERY,
    (*_TELLS_DHCP6, ACCEPT),
    (Member((IP_SADDR, META_L4PROTO, TH_SPORT), LISTEN4.name), ACCEPT),
    (Member((IP6_SADDR, META_L4PROTO, TH_SPORT), LISTEN6.name), ACCEPT),
    (Is(META_L4PROTO, 1), Is(TH_SPORT, 3 << 8 | 4), ACCEPT),
    (Is(META_L4PROTO, 58), Is(TH_SPORT, 2 << 8), ACCEPT),
    (goto("refuse-router"),),
)


def inet_table() -> Table:
    """The `inet` table of an empty VPC, without the chains of `flow_chains`: it refuses everything."""
    table = Table(INET, sets={each.name: each for each in INET_SETS})
    for chain in _inet_chains():
        table.chains[chain.name] = chain
    return table


def _inet_chains() -> tuple[Chain, ...]:
    return (
        Chain("guard", _GUARD, Hook("prerouting", -450)),  # before conntrack reassembles fragments (-400)
        Chain("forward", _FORWARD, Hook("forward", 0)),
        Chain("input", _INPUT, Hook("input", 0)),
        Chain("untrack", ((Untrack(), ACCEPT),), Hook("output", -300)),
        Chain("output", _OUTPUT, Hook("output", 0)),
        Chain("pass-2", _PASS_2),
        Chain("out-ask", _OUT_ASK),
        Chain("in-ask", _IN_ASK),
        near_chain(()),
        Chain("over-peer", _TO_PEER),
        Chain("passed-out", _passed("out")),
        Chain("passed-in", _passed("in")),
        Chain("acl-out", _ACL_OUT),
        Chain("destination", _DESTINATION),
        Chain("track-out", _tracks(BEGUN_OUT, SG_OUT_ACCEPTS)),
        Chain("track-in", _tracks(BEGUN_IN, SG_IN_ACCEPTS)),
        *(Chain(name, ((ACCEPT,),)) for name in ("done", *PASSED.values())),
        *(Chain(f"refuse-{layer}", ((DROP,),)) for layer in REFUSALS),
    )


def _tracks(mark: int, then: str) -> tuple[Rule, ...]:
    """Remember the connection, but only by its first direction: an answer must not begin anything."""
    return ((Is(CT_DIRECTION, 0), SetConnectionMark(mark), goto(then)), (goto(then),))


def arp_table() -> Table:
    """The `arp` table: a guest may speak only for its own addresses, with its own MAC (NET-22)."""
    own = (Member((IIFNAME, ARP_SADDR_ETHER, ARP_SADDR_IP), ARP_OWN.name), ACCEPT)
    rules: tuple[Rule, ...] = (own, (Is(IIFNAME, GATEWAY), ACCEPT), (DROP,))
    return Table(ARP, chains={"input": Chain("input", rules, Hook("input", 0))}, sets={ARP_OWN.name: ARP_OWN})


def internet_table() -> Table:
    """The internet's own rule: an outside host cannot send from an address that is not its own (IGW-08)."""
    host = Named(IIFNAME, "h")
    rules: tuple[Rule, ...] = ((host, *DISCOVERY), (host, NoWayBack(), DROP), (ACCEPT,))
    return Table(INET, chains={"spoof": Chain("spoof", rules, Hook("prerouting", -310))})
