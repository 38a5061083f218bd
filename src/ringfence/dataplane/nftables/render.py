"""IR fragments → pieces of the tables of a VPC's network namespace. Pure.

Names carry the ids of what they come from: chain `in.sg-…` holds a group's ingress rules, set `in.sg-….ports4.0` its
boxes with ports. Sets keyed by `th sport` hold ICMP types and codes: those two bytes lie where ports would.

Security groups (SG-63..81): ENIs with the same groups share one *class* chain per direction, named by its content.
It first asks for rules that admit untracked flows (CT-03), then for all rules, which enter the flow into the ENI's
connection table. Network ACLs (ACL-29..45): entries in order up to `LINEAR`, flattened into one look-up beyond.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ringfence.dataplane.nftables import base
from ringfence.dataplane.nftables.boxes import ALL_PROTOCOLS, FULL, Box, Range, layers, merge
from ringfence.dataplane.nftables.fields import (
    DADDR,
    IFNAME,
    IIFNAME,
    IPV4,
    IPV6,
    META_L4PROTO,
    META_MARK,
    META_NFPROTO,
    NFPROTO,
    NFPROTO_OF,
    PORT,
    PROTOCOL,
    SADDR,
    TH_DPORT,
    TH_SPORT,
    Field,
    Type,
    Value,
)
from ringfence.dataplane.nftables.flatten import Piece as FlatPiece
from ringfence.dataplane.nftables.flatten import flatten, values_of
from ringfence.dataplane.nftables.objects import ARP, INET, Chain, Element, Set, Timeout
from ringfence.dataplane.nftables.pieces import Named, Piece
from ringfence.dataplane.nftables.terms import (
    ACCEPT,
    RETURN,
    Between,
    Bits,
    ChangeMark,
    Dispatch,
    Is,
    Member,
    PutMark,
    Rule,
    SetZone,
    Term,
    Untrack,
    UseTimeout,
    Verdict,
    Within,
    goto,
    jump,
)
from ringfence.dataplane.plan import (
    COUNTS_PASSED,
    COUNTS_REFUSED,
    ENDPOINTS,
    GATEWAY,
    OWN_SOURCE,
    OWNED,
    PASS_ONE,
    PEER,
    PLAIN_TABLE,
    SAME_SUBNET,
    link,
    peer_links,
    suffix,
)
from ringfence.model.net import ANY_IPV4, ANY_IPV6, Address, Network
from ringfence.policy.ir import (
    Acl,
    AclEntry,
    Allow,
    Counting,
    Edge,
    Group,
    GroupMembers,
    Interface,
    Match,
    Peering,
    PeerMembers,
    RouteTable,
    Subnet,
    Timeouts,
    Via,
    Vpc,
)

LINEAR = 12  # a longer ACL is flattened: 16 ns an entry against about 100 ns a look-up
ADDRESS: dict[int, Type] = {4: IPV4, 6: IPV6}
IN, OUT = "in", "out"
PORTED = (6, 17)


@dataclass(slots=True)
class _Builder:
    """Collects the objects and elements of one piece in the `inet` table."""

    objects: list[tuple[str, Named]] = field(default_factory=list)
    elements: list[tuple[str, str, Element]] = field(default_factory=list)

    def own(self, named: Named) -> None:
        self.objects.append((INET, named))

    def put(self, kind: Set, *elements: Element, family: str = INET) -> None:
        self.elements += [(family, kind.name, element) for element in elements]

    def set(self, kind: Set, elements: Iterable[Element]) -> Set:
        self.own(kind)
        self.put(kind, *elements)
        return kind

    def piece(self) -> Piece:
        return Piece(tuple(self.objects), tuple(self.elements))


def _families(match: Match) -> tuple[int, ...]:
    """The families a condition can hold in."""
    if match.remote is not None:
        same = match.family in (None, match.remote.version)
        return (match.remote.version,) if same else ()
    return (match.family,) if match.family else (4, 6)


# --- security groups ------------------------------------------------------------------------------------------------


def group_piece(group: Group) -> Piece:
    """Chains and sets of a group."""
    out = _Builder()
    for side, allows in ((IN, group.ingress), (OUT, group.egress)):
        _group_side(out, group.group_id, side, allows)
    return out.piece()


def _group_side(out: _Builder, group_id: str, side: str, allows: Sequence[Allow]) -> None:
    name = f"{side}.{group_id}"
    then = goto(base.SG_IN_TRACKS if side == IN else base.SG_OUT_TRACKS)
    remote = SADDR if side == IN else DADDR
    direct = [allow.match for allow in allows if allow.match.group is None]
    rules: list[Rule] = []
    for family in (4, 6):
        rules += _block_rules(out, name, family, remote[family], direct, then)
    referring: dict[str, list[Match]] = {}
    for allow in allows:
        if allow.match.group is not None:
            referring.setdefault(allow.match.group, []).append(allow.match)
    for other, matches in referring.items():
        if any(match.peer is not None for match in matches):
            rules += _peer_rules(out, f"{name}.{other}", side, other, remote)
    if referring and side == IN:
        # D-05, SG-68, SG-78: only what came straight from the ENI that owns the source address is "from the group"
        rules.append((Bits(META_MARK, OWN_SOURCE, some=False), RETURN))
    for other, matches in referring.items():
        rules += _reference_rules(out, name, other, matches, remote, then)
    out.own(Chain(name, tuple(rules)))
    out.set(wide_set(group_id, side), _wide_elements(allow.match for allow in allows if allow.wide))


def wide_set(group_id: str, side: str) -> Set:
    """What the group's wide rules admit, as (family, protocol, ports): candidates for untracked flows (CT-03)."""
    return Set(f"{side}.{group_id}.wide", (NFPROTO, PROTOCOL, PORT), interval=True)


def _wide_elements(matches: Iterable[Match]) -> Iterator[Element]:
    spans: dict[tuple[int, int], list[Range]] = {}
    for match in matches:
        for family in _families(match):
            for protocol in PORTED:
                if match.protocol in (None, protocol):
                    spans.setdefault((NFPROTO_OF[family], protocol), []).append(_ports(match))
    for (family, protocol), ranges in sorted(spans.items()):
        for low, high in merge(ranges):
            yield Element((family, protocol, low), (family, protocol, high))


def _ports(match: Match) -> Range:
    return FULL if match.ports is None else (match.ports.first, match.ports.last)


def _shape(match: Match) -> tuple[str, Range, Range]:
    """Which kind of set holds the condition, its protocols and its 16-bit values."""
    protocols = ALL_PROTOCOLS if match.protocol is None else (match.protocol, match.protocol)
    if match.icmp_type is not None:
        low = match.icmp_type << 8
        code = match.icmp_code
        return "types", protocols, ((low, low | 255) if code is None else (low | code, low | code))
    if match.protocol in PORTED and _ports(match) != FULL:
        return "ports", protocols, _ports(match)
    return "protocols", protocols, FULL


_LOADS: dict[str, tuple[Field, ...]] = {"ports": (TH_DPORT,), "types": (TH_SPORT,), "protocols": ()}


def _block_rules(
    out: _Builder, name: str, family: int, remote: Field, matches: Iterable[Match], then: Verdict
) -> Iterator[Rule]:
    """Look-ups for the rules that name a block, or nothing, as their peer."""
    boxes: dict[str, list[Box]] = {"ports": [], "types": [], "protocols": []}
    for match in matches:
        if family in _families(match):
            shape, protocols, values = _shape(match)
            block = match.remote if match.remote is not None else (ANY_IPV4 if family == 4 else ANY_IPV6)
            boxes[shape].append(Box(block, protocols, values))
    for shape, found in boxes.items():
        valued = bool(_LOADS[shape])
        for depth, layer in enumerate(layers(found)):
            key = (ADDRESS[family], PROTOCOL, *((PORT,) if valued else ()))
            kind = Set(f"{name}.{shape}{family}.{depth}", key, interval=True)
            out.set(kind, (_box_element(box, valued) for box in layer))
            yield (Member((remote, META_L4PROTO, *_LOADS[shape]), kind.name), then)


def _box_element(box: Box, valued: bool) -> Element:
    low: tuple[Value, ...] = (box.block.network_address, box.protocols[0])
    high: tuple[Value, ...] = (box.block.broadcast_address, box.protocols[1])
    if valued:
        low, high = (*low, box.values[0]), (*high, box.values[1])
    return Element(low, high)


def _reference_rules(
    out: _Builder,
    name: str,
    other: str,
    matches: Sequence[Match],
    remote: Mapping[int, Field],
    then: Verdict,
) -> Iterator[Rule]:
    """Is the peer a member of the other group? Then what may members do (SG-67)."""
    chain = f"{name}.{other}"
    rules: list[Rule] = []
    spans: dict[str, dict[tuple[int, Range], list[Range]]] = {"ports": {}, "types": {}, "protocols": {}}
    for match in matches:
        shape, protocols, values = _shape(match)
        for family in _families(match):
            slot = (NFPROTO_OF[family], (0, 0) if shape == "protocols" else protocols)
            spans[shape].setdefault(slot, []).append(protocols if shape == "protocols" else values)
    for shape, slots in spans.items():
        if not slots:
            continue
        key = (NFPROTO, PROTOCOL, *((PORT,) if _LOADS[shape] else ()))
        kind = Set(f"{chain}.{shape}", key, interval=True)
        out.set(kind, _span_elements(slots, bool(_LOADS[shape])))
        rules.append((Member((META_NFPROTO, META_L4PROTO, *_LOADS[shape]), kind.name), then))
    out.own(Chain(chain, tuple(rules)))
    for family in (4, 6):
        out.own(member_set(other, family))
        yield (Member((remote[family],), member_set(other, family).name), jump(chain))


def _peer_rules(out: _Builder, chain: str, side: str, other: str, remote: Mapping[int, Field]) -> Iterator[Rule]:
    """Is the peer a member of the other group in its own VPC (SG-52)? Inbound only over the connection, and straight from it.
    The chain is that of `_reference_rules`."""
    for family in (4, 6):
        kind = far_set(other, side, family)
        out.own(kind)
        key = (IIFNAME, remote[family]) if side == IN else (remote[family],)
        yield (Member(key, kind.name), jump(chain))


def far_set(group_id: str, side: str, family: int) -> Set:
    """The private addresses of the ENIs of a peer VPC that carry the group; inbound with the link they come over."""
    key = (IFNAME, ADDRESS[family]) if side == IN else (ADDRESS[family],)
    return Set(f"far-{side}{family}.{group_id}", key)


def peer_members_piece(members: PeerMembers) -> Piece:
    out, (straight, _) = _Builder(), peer_links(members.peering_id)
    for group in members.groups:
        for family, addresses in ((4, group.ipv4), (6, group.ipv6)):
            out.set(far_set(group.group_id, IN, family), (Element((straight, address)) for address in addresses))
            out.set(far_set(group.group_id, OUT, family), (Element((address,)) for address in addresses))
    return out.piece()


def peering_piece(way: Peering) -> Piece:
    """What the far VPC's links take: its addresses. What comes from there is led by the VPC's own addresses only."""
    out, chain = _Builder(), f"peer-{suffix(way.peering_id)}"
    blocks: tuple[Network, ...] = (*way.ipv4, *way.ipv6)
    rules: list[Rule] = [(Within(DADDR[block.version], block), goto("done")) for block in blocks]
    out.own(Chain(chain, (*rules, (goto("refuse-router"),))))
    out.put(base.PEERS, *(Element((name,), data=goto(chain)) for name in peer_links(way.peering_id)))
    return out.piece()


def _span_elements(slots: Mapping[tuple[int, Range], list[Range]], valued: bool) -> Iterator[Element]:
    for (family, protocols), ranges in sorted(slots.items()):
        for low, high in merge(ranges):
            if valued:
                yield Element((family, protocols[0], low), (family, protocols[1], high))
            else:
                yield Element((family, low), (family, high))


def member_set(group_id: str, family: int) -> Set:
    """The private addresses of the ENIs that carry the group."""
    return Set(f"members{family}.{group_id}", (ADDRESS[family],))


def members_piece(members: GroupMembers) -> Piece:
    out = _Builder()
    for family, addresses in ((4, members.ipv4), (6, members.ipv6)):
        out.set(member_set(members.group_id, family), (Element((address,)) for address in addresses))
    return out.piece()


# --- network ACLs ---------------------------------------------------------------------------------------------------


def acl_piece(acl: Acl) -> Piece:
    """One chain per direction: inbound returns what it allows, outbound finishes it."""
    out = _Builder()
    sides = ((IN, acl.ingress, SADDR, RETURN, goto("refuse-acl-in")),
             (OUT, acl.egress, DADDR, goto("passed-out"), goto("refuse-acl-out")))  # fmt: skip
    for side, entries, remote, allow, deny in sides:
        rules: list[Rule] = []
        for family in (4, 6):
            relevant = [entry for entry in entries if family in _families(entry.match)]
            if len(relevant) <= LINEAR:
                rules += [_linear(entry, family, remote[family], allow, deny) for entry in relevant]
            else:
                rules += _flat(out, f"{side}.{acl.acl_id}", relevant, family, remote[family], allow, deny)
        out.own(Chain(f"{side}.{acl.acl_id}", (*rules, (deny,))))
    return out.piece()


def _linear(entry: AclEntry, family: int, remote: Field, allow: Verdict, deny: Verdict) -> Rule:
    match = entry.match
    terms: list[Term] = [Is(META_NFPROTO, NFPROTO_OF[family])]
    if match.remote is not None and match.remote.prefixlen:
        terms = [Within(remote, match.remote)]
    if match.protocol is not None:
        terms.append(Is(META_L4PROTO, match.protocol))
    low, high = values_of(entry)
    if (low, high) != FULL:
        loaded = TH_DPORT if match.icmp_type is None else TH_SPORT
        terms.append(Is(loaded, low) if low == high else Between(loaded, low, high))
    return (*terms, allow if entry.allow else deny)


def _flat(
    out: _Builder, name: str, entries: Sequence[AclEntry], family: int, remote: Field, allow: Verdict, deny: Verdict
) -> Iterator[Rule]:
    pieces = flatten(entries, family)
    shapes = (("ports", pieces.ported), ("types", pieces.typed), ("protocols", pieces.other))
    for shape, found in shapes:
        if not found:
            continue
        loads = _LOADS[shape]
        elements = [_flat_element(piece, bool(loads), allow, deny) for piece in found]
        key = (ADDRESS[family], PROTOCOL, *((PORT,) if loads else ()))
        # named by content: a changed ACL fills new maps first, then its chain moves over to them
        kind = Set(f"{name}.{shape}{family}.{_digest(elements)}", key, base.VERDICT, interval=True)
        out.set(kind, elements)
        yield (Dispatch((remote, META_L4PROTO, *loads), kind.name),)


def _flat_element(piece: FlatPiece, valued: bool, allow: Verdict, deny: Verdict) -> Element:
    low: tuple[Value, ...] = (piece.first, piece.protocols[0])
    high: tuple[Value, ...] = (piece.last, piece.protocols[1])
    if valued:
        low, high = (*low, piece.values[0]), (*high, piece.values[1])
    return Element(low, high, allow if piece.allow else deny)


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


# --- interfaces -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an interface's piece depends on besides the interface: its subnet, the number of its table, its groups."""

    subnet: Subnet
    table_number: int
    groups: tuple[Group, ...]
    plain: bool  # the route table leads no address of the VPC anywhere but to its owner


def is_plain(table: RouteTable, vpc: Vpc | None) -> bool:
    """Do all of the VPC's addresses take the table's local routes? Longest prefix first, so only routes within its blocks
    could lead them elsewhere (RT-05, RT-07)."""
    if vpc is None:
        return False
    blocks: tuple[Network, ...] = (*vpc.ipv4, *vpc.ipv6)
    return not any(
        route.via is not Via.LOCAL and route.destination.version == block.version and within(route.destination, block)
        for route in table.routes
        for block in blocks
    )


def within(inner: Network, outer: Network) -> bool:
    """Is one block part of another of the same family?"""
    return inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def counted_mark(counting: Counting | None) -> int:
    """The bits of the packet mark that say what of an interface's packets is counted."""
    if counting is None:
        return 0
    return COUNTS_PASSED * counting.passed | COUNTS_REFUSED * counting.refused


def interface_piece(interface: Interface, around: Surroundings) -> Piece:
    """Elements for the shared maps, plus the class, zone and timeout chains the ENI uses."""
    out = _Builder()
    name, number = link(interface.number), interface.number
    local = link_local(interface.mac)
    counts = counted_mark(interface.counted)
    own = OWN_SOURCE | counts
    for family, where, addresses in ((4, base.OWN4, interface.ipv4), (6, base.OWN6, (*interface.ipv6, local))):
        chain = _entrance(out, f"own{family}-{number}", number, around, (family,), own)
        out.put(where, *(Element((name, interface.mac, a), data=goto(chain)) for a in addresses))
    out.put(base.ARP_OWN, *(Element((name, interface.mac, a)) for a in interface.ipv4), family=ARP)
    out.put(base.DESTINATION4, *(Element((name, a)) for a in interface.ipv4))
    out.put(base.DESTINATION6, *(Element((name, a)) for a in interface.ipv6))
    if not interface.source_dest_check:
        chain = _entrance(out, f"any-{number}", number, around, (4, 6), own ^ OWN_SOURCE)
        out.put(base.ANY_SOURCE, Element((name, interface.mac), data=goto(chain)))
        out.put(base.ANY_DESTINATION, Element((name,)))
    counted: tuple[Term, ...] = (ChangeMark(0xFFFFFFFF, counts),) if counts else ()
    out.own(Chain(f"to-{number}", ((*counted, SetZone(number), ACCEPT),)))
    out.put(base.ZONE_OUT, Element((name,), data=goto(f"to-{number}")))
    owned = ChangeMark(OWN_SOURCE | SAME_SUBNET, OWNED | own ^ OWN_SOURCE)
    out.own(Chain(f"owned-{number}", ((owned, SetZone(number), ACCEPT),)))
    out.put(base.OWNER4, *(Element((a,), data=goto(f"owned-{number}")) for a in interface.ipv4))
    out.put(base.OWNER6, *(Element((a,), data=goto(f"owned-{number}")) for a in interface.ipv6))
    out.put(base.LINKS, Element((name, number), comment=interface.eni_id))
    out.put(base.ACL_OUT, Element((name,), data=goto(f"{OUT}.{around.subnet.acl_id}")))
    out.put(base.ACL_IN, Element((name,), data=jump(f"{IN}.{around.subnet.acl_id}")))
    for side, dispatch in ((IN, base.SG_IN), (OUT, base.SG_OUT)):
        chain = _class_chain(out, side, around.groups)
        out.put(dispatch, Element((name,), data=goto(chain)))
    out.put(base.TIMEOUTS, Element((number,), data=jump(_timeout_chain(out, interface.timeouts))))
    return out.piece()


def _entrance(out: _Builder, name: str, number: int, around: Surroundings, families: tuple[int, ...], own: int) -> str:
    """Pass 1 of packets whose source is right: the ENI's connection table and the packet mark. Within its subnet neither
    network ACL nor route table have a say (ACL-32). To the router's services no rule applies."""
    subnet = around.subnet
    blocks: list[Network] = [*([subnet.ipv4] if subnet.ipv4 else []), *subnet.ipv6]
    mark = PASS_ONE | own | around.table_number | (PLAIN_TABLE if around.plain else 0)
    near = PASS_ONE | own | SAME_SUBNET | PLAIN_TABLE
    services = {4: base.SERVICES4, 6: base.SERVICES6}
    untouched = (PutMark(own), Untrack(), ACCEPT)
    rules: list[Rule] = [(Member((DADDR[family],), services[family].name), *untouched) for family in families]
    stays = (PutMark(near), SetZone(number), ACCEPT)
    rules += [(Within(DADDR[block.version], block), *stays) for block in blocks if block.version in families]
    out.own(Chain(name, (*rules, (PutMark(mark), SetZone(number), ACCEPT))))
    return name


def link_local(mac: str) -> IPv6Address:
    """The link-local address the kernel derives from a MAC (RFC 4291, appendix A): all a guest may use on its link."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + b"\0" * 6 + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:])


def _class_chain(out: _Builder, side: str, groups: Sequence[Group]) -> str:
    """The chain shared by all ENIs with these groups and the same openings in the opposite direction."""
    openings = [group.opens_egress if side == IN else group.opens_ingress for group in groups]
    pairs = sorted(frozenset[tuple[int, int]]().union(*(opening.pairs for opening in openings)))
    ids = [group.group_id for group in groups]
    name = f"{side}.class-{_digest((ids, pairs))}"
    accepts, refusal = (base.SG_IN_ACCEPTS, "sg-in") if side == IN else (base.SG_OUT_ACCEPTS, "sg-out")
    rules: list[Rule] = []
    for family, protocol in pairs:
        rules.append((Is(META_NFPROTO, NFPROTO_OF[family]), Is(META_L4PROTO, protocol), jump(f"{name}.untracked")))
    if pairs:
        wide = [wide_set(group_id, side) for group_id in ids]
        member = (META_NFPROTO, META_L4PROTO, TH_DPORT)
        out.own(Chain(f"{name}.untracked", tuple((Member(member, each.name), goto(accepts)) for each in wide)))
    rules += [(jump(f"{side}.{group_id}"),) for group_id in ids]
    out.own(Chain(name, (*rules, (goto(f"refuse-{refusal}"),))))
    return name


def _timeout_chain(out: _Builder, timeouts: Timeouts) -> str:
    """Idle times for new connections (CT-13..15)."""
    suffix = f"{timeouts.tcp_established}-{timeouts.udp_stream}-{timeouts.udp}"
    tcp = Timeout(f"tcp-{suffix}", 6, (("established", 3, timeouts.tcp_established),))
    udp = Timeout(f"udp-{suffix}", 17, (("unreplied", 1, timeouts.udp), ("replied", 2, timeouts.udp_stream)))
    rules: list[Rule] = []
    for timeout in (tcp, udp):
        out.own(timeout)
        rules.append((Is(META_L4PROTO, timeout.protocol), UseTimeout(timeout.name), RETURN))
    out.own(Chain(f"timeouts-{suffix}", tuple(rules)))
    return f"timeouts-{suffix}"


# --- flows ------------------------------------------------------------------------------------------------------------


def generation_piece(generation: int) -> Piece:
    """The chains that know the generation, and a set that tells it to the next agent."""
    out = _Builder()
    for chain in base.flow_chains(generation):
        out.own(chain)
    out.put(base.GENERATION, Element((generation,)))
    return out.piece()


# --- gateway and services -------------------------------------------------------------------------------------------


def gate_piece(edge: Edge, table_number: int, *, plain: bool) -> Piece:
    """Packets from the internet gateway follow its route table, if it has one, else the VPC's own routes."""
    mark = (table_number if edge.table_id else 0) | (PLAIN_TABLE if plain else 0)
    return Piece((), ((INET, base.GATES.name, Element((GATEWAY,), data=mark)),))


def services_piece(vpc: Vpc) -> Piece:
    """Addresses of the router's services: reached without groups and ACLs, untracked. And the VPC's blocks, for peers."""
    out = _Builder()
    listeners = list(service_listeners(vpc))
    for family, services, listen in ((4, base.SERVICES4, base.LISTEN4), (6, base.SERVICES6, base.LISTEN6)):
        mine = [entry for entry in listeners if entry[0].version == family]
        addresses = dict.fromkeys(address for address, _, _ in mine)
        out.put(services, *(Element((address,)) for address in addresses))
        out.put(listen, *(Element(entry) for entry in mine))
    out.own(base.near_chain((*vpc.ipv4, *vpc.ipv6)))
    out.put(base.GATES, Element((PEER,), data=PLAIN_TABLE))
    # what services behind gateway endpoints answer is led by the VPC's own addresses alone
    out.put(base.GATES, Element((ENDPOINTS,), data=PLAIN_TABLE))
    out.put(base.SERVICES6, Element((base.ALL_DHCP6_SERVERS,)))  # untracked; the base chains let its port in
    return out.piece()


def router_piece(subnet: Subnet) -> Piece:
    """The subnet's router as its DHCP server: asked anew by clients that have an address (UF-02, UF-07)."""
    if subnet.ipv4 is None:
        return Piece((), ())
    router, out = subnet.ipv4.network_address + 1, _Builder()
    out.put(base.SERVICES4, Element((router,)))
    out.put(base.LISTEN4, Element((router, 17, 67)))
    return out.piece()


METADATA4, METADATA6 = IPv4Address("169.254.169.254"), IPv6Address("fd00:ec2::254")
RESOLVER4, RESOLVER6 = IPv4Address("169.254.169.253"), IPv6Address("fd00:ec2::253")
TIME4, TIME6 = IPv4Address("169.254.169.123"), IPv6Address("fd00:ec2::123")
EVERYONE = IPv4Address("255.255.255.255")  # whom a DHCP client asks


def service_listeners(vpc: Vpc) -> Iterator[tuple[Address, int, int]]:
    """(address, protocol, port) of every service of the VPC's router."""
    yield METADATA4, 6, 80
    yield METADATA6, 6, 80
    yield TIME4, 17, 123
    yield TIME6, 17, 123
    yield EVERYONE, 17, 67
    if vpc.dns_support:
        own = [block.network_address + 2 for block in vpc.ipv4]
        addresses: list[Address] = [RESOLVER4, RESOLVER6, *own]
        for address in addresses:
            yield address, 6, 53
            yield address, 17, 53
