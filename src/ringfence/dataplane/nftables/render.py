"""IR → nftables: the filter of one VPC's namespace (docs/architecture.md, "How a packet is judged").

Static base chains dispatch by verdict maps to chains of each interface; these jump to chains that all interfaces of a
group share. Only regular chains, sets and maps ever change. What matches nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import collapse_addresses
from typing import Any

from ringfence.dataplane.nftables.objects import Chain, Object, Ruleset, Set, Timeout
from ringfence.dataplane.plan import GATEWAY, LOOP_IN, LOOP_OUT, OWN_SOURCE, PASS_ONE, SAME_SUBNET, link, suffix
from ringfence.policy import ir
from ringfence.policy.ir import Allow, Group, Interface, Match, Subnet, Timeouts

TABLE = "inet ringfence"
_INSIDE = f'{{ "{LOOP_IN}", "{GATEWAY}" }}'  # where pass 2 begins

STATIC = f"""
add chain {TABLE} spoof {{ type filter hook prerouting priority -450; policy accept; }}
add chain {TABLE} zone {{ type filter hook prerouting priority -300; policy accept; }}
add chain {TABLE} idle {{ type filter hook prerouting priority -150; policy accept; }}
add chain {TABLE} acl_in {{ type filter hook forward priority -10; policy accept; }}
add chain {TABLE} groups {{ type filter hook forward priority 0; policy drop; }}
add chain {TABLE} acl_out {{ type filter hook forward priority 10; policy accept; }}
add chain {TABLE} dest {{ type filter hook forward priority 20; policy accept; }}
add chain {TABLE} services {{ type filter hook input priority 0; policy drop; }}
flush chain {TABLE} spoof
flush chain {TABLE} zone
flush chain {TABLE} idle
flush chain {TABLE} acl_in
flush chain {TABLE} groups
flush chain {TABLE} acl_out
flush chain {TABLE} dest
flush chain {TABLE} services
add rule {TABLE} spoof iifname "{LOOP_IN}" meta mark set meta mark & {0xFFFFFFFF ^ PASS_ONE:#x} accept
add rule {TABLE} spoof iifname "{GATEWAY}" jump gateway
add rule {TABLE} spoof iifname "{GATEWAY}" accept
add rule {TABLE} spoof iifname "lo" accept
add rule {TABLE} spoof iifname vmap @from
add rule {TABLE} spoof drop
add rule {TABLE} zone iifname {_INSIDE} fib daddr . mark oifname vmap @zone_to
add rule {TABLE} zone iifname {_INSIDE} notrack accept
add rule {TABLE} zone fib daddr type local notrack accept
add rule {TABLE} zone iifname vmap @zone_from
add rule {TABLE} idle iifname {_INSIDE} ct state new fib daddr . mark oifname vmap @idle_to
add rule {TABLE} idle ct state new iifname vmap @idle_from
add rule {TABLE} acl_in meta mark & {SAME_SUBNET:#x} == 0 iifname {_INSIDE} oifname vmap @acl_to
add rule {TABLE} groups oifname "{LOOP_OUT}" iifname vmap @groups_from
add rule {TABLE} groups iifname {_INSIDE} oifname vmap @groups_to
add rule {TABLE} groups iifname "{LOOP_IN}" oifname "{GATEWAY}" accept
add rule {TABLE} acl_out oifname "{LOOP_OUT}" meta mark & {SAME_SUBNET:#x} == 0 iifname vmap @acl_from
add rule {TABLE} dest iifname {_INSIDE} oifname vmap @dest_to
add rule {TABLE} services iifname "lo" accept
add rule {TABLE} services meta l4proto {{ tcp, udp }} th dport 53 accept
add rule {TABLE} services ip daddr 169.254.169.254 tcp dport 80 accept
add rule {TABLE} services ip6 daddr fd00:ec2::254 tcp dport 80 accept
add rule {TABLE} services icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} accept
""".strip()

_VERDICT_MAPS = ("from", "zone_from", "idle_from", "acl_to", "groups_from", "groups_to", "acl_from", "dest_to")
_FIB_MAPS = ("zone_to", "idle_to")


@dataclass(frozen=True, slots=True)
class VpcSlice:
    """The fragments of one VPC."""

    interfaces: tuple[Interface, ...]
    groups: tuple[Group, ...]
    members: tuple[ir.GroupMembers, ...]
    acls: tuple[ir.Acl, ...]
    subnets: tuple[Subnet, ...]
    edge: ir.Edge | None
    tables: tuple[ir.RouteTable, ...]
    vpc: ir.Vpc | None = None
    names: ir.Names | None = None


class Renderer:
    """Renders one VPC after another generation; remembers what each fragment became."""

    def __init__(self) -> None:
        self._memory: dict[Any, tuple[tuple[Any, ...], tuple[Object, ...]]] = {}

    def _made(self, key: Any, inputs: tuple[Any, ...], build: Any) -> tuple[Object, ...]:
        held = self._memory.get(key)
        if (
            held is not None
            and len(held[0]) == len(inputs)
            and all(a is b for a, b in zip(held[0], inputs, strict=True))
        ):
            return held[1]
        value = tuple(build())
        self._memory[key] = (inputs, value)
        return value

    def render(self, part: VpcSlice) -> Ruleset:
        """The ruleset of a VPC."""
        groups = {group.group_id: group for group in part.groups}
        subnets = {subnet.subnet_id: subnet for subnet in part.subnets}
        numbers = {table.table_id: table.number for table in part.tables}
        objects: dict[str, Object] = {}
        maps: dict[str, set[str]] = {name: set() for name in (*_VERDICT_MAPS, *_FIB_MAPS)}

        def add(made: Iterable[Object]) -> None:
            for item in made:
                objects[item.name] = item

        add((_TRACK_OUT, _TRACK_IN, _gateway(part.edge, numbers)))
        for group in part.groups:
            add(self._made(("g", group.group_id), (group,), lambda g=group: _group_chains(g)))
        for members in part.members:
            add(self._made(("m", members.group_id), (members,), lambda m=members: _member_sets(m)))
        for acl in part.acls:
            add(self._made(("a", acl.acl_id), (acl,), lambda a=acl: _acl_chains(a)))
        for eni in part.interfaces:
            subnet = subnets[eni.subnet_id]
            carried = tuple(groups[id] for id in eni.groups)
            number = numbers[subnet.table_id]
            inputs = (eni, subnet, *carried, number)
            add(
                self._made(
                    ("e", eni.eni_id), inputs, lambda e=eni, s=subnet, c=carried, n=number: _interface(e, s, c, n)
                )
            )
            _dispatch(maps, eni, subnet)
        for name, elements in maps.items():
            declaration = (
                "type ifname : verdict;" if name in _VERDICT_MAPS else "typeof fib daddr . mark oifname : verdict;"
            )
            objects[name] = Set(name, declaration, frozenset(elements), is_map=True)
        return Ruleset(TABLE, STATIC, objects)


def _dispatch(maps: dict[str, set[str]], eni: Interface, subnet: Subnet) -> None:
    dev, n = link(eni.number), eni.number
    maps["from"].add(f'"{dev}" : goto from_{n}')
    maps["zone_from"].add(f'"{dev}" : goto zone_{n}')
    maps["zone_to"].add(f'"{dev}" : goto zone_{n}')
    idle = _timeout_key(eni.timeouts)
    maps["idle_from"].add(f'"{dev}" : goto idle_{idle}')
    maps["idle_to"].add(f'"{dev}" : goto idle_{idle}')
    maps["groups_from"].add(f'"{dev}" : goto out_{n}')
    maps["groups_to"].add(f'"{dev}" : goto in_{n}')
    maps["acl_from"].add(f'"{dev}" : goto acl_{suffix(subnet.acl_id)}_out')
    maps["acl_to"].add(f'"{dev}" : goto acl_{suffix(subnet.acl_id)}_in')
    maps["dest_to"].add(f'"{dev}" : goto dest_{n}')


def _gateway(edge: ir.Edge | None, numbers: dict[str, int]) -> Chain:
    """Packets from the gateway use its edge route table, if it has one (RT-13)."""
    number = numbers.get(edge.table_id, 0) if edge is not None and edge.table_id is not None else 0
    return Chain("gateway", (f"meta mark set {number}",))


# ---------------------------------------------------------------------- one interface
_FAMILIES = ((4, "ip", "ipv4"), (6, "ip6", "ipv6"))


def _interface(eni: Interface, subnet: Subnet, groups: tuple[Group, ...], table: int) -> Iterator[Object]:
    n = eni.number
    yield Chain(f"from_{n}", tuple(_from_rules(eni, subnet, table)))
    yield Chain(f"zone_{n}", (f"ct zone set {n}",))
    yield from _timeouts(eni.timeouts)
    yield Chain(f"out_{n}", tuple(_gate(groups, egress=True)))
    yield Chain(f"in_{n}", tuple(_gate(groups, egress=False)))
    yield Chain(f"dest_{n}", tuple(_dest_rules(eni)))


def _listed(addresses: Iterable[Any]) -> str:
    return "{ " + ", ".join(map(str, addresses)) + " }"


def _link_local(mac: str) -> str:
    """The IPv6 link-local address a guest makes from its MAC: it may ask the router for its own."""
    parts = [int(part, 16) for part in mac.split(":")]
    parts[0] ^= 2
    words = [parts[0] << 8 | parts[1], parts[2] << 8 | 0xFF, 0xFE00 | parts[3], parts[4] << 8 | parts[5]]
    return "fe80::" + ":".join(f"{word:x}" for word in words)


def _from_rules(eni: Interface, subnet: Subnet, table: int) -> Iterator[str]:
    """Before anything else looks at the packet: MAC and source check (NET-21, NET-22), then the mark."""
    yield f"ether saddr != {eni.mac} drop"
    own = {4: eni.ipv4, 6: eni.ipv6}
    if eni.source_dest_check:
        yield f"meta protocol ip ip saddr != {_listed(eni.ipv4)} drop"
        allowed = (*eni.ipv6, _link_local(eni.mac), "::")
        yield f"meta protocol ip6 ip6 saddr != {_listed(allowed)} drop"
    yield "meta protocol != { ip, ip6 } drop"
    yield f"meta mark set {PASS_ONE | table:#x}"
    blocks = {4: (subnet.ipv4,) if subnet.ipv4 else (), 6: subnet.ipv6}
    for version, word, _ in _FAMILIES:
        if blocks[version]:
            yield f"{word} daddr {_listed(blocks[version])} meta mark set {PASS_ONE | SAME_SUBNET:#x}"
    for version, word, _ in _FAMILIES:
        if own[version]:
            yield f"{word} saddr {_listed(own[version])} meta mark set meta mark | {OWN_SOURCE:#x}"
    yield "accept"


def _dest_rules(eni: Interface) -> Iterator[str]:
    if not eni.source_dest_check:
        yield "accept"
        return
    yield f"ip daddr {_listed(eni.ipv4)} accept"
    if eni.ipv6:
        yield f"ip6 daddr {_listed(eni.ipv6)} accept"
    yield "drop"


def _gate(groups: tuple[Group, ...], *, egress: bool) -> Iterator[str]:
    """State first, then untracked rules, then tracked ones (CT-01..CT-09, D-06)."""
    mine, theirs = (1, 2) if egress else (2, 1)
    way = "out" if egress else "in"
    yield "ct state related ct mark { 1, 2 } accept"
    yield f"ct mark . ct direction {{ {mine} . original, {theirs} . reply }} accept"
    opened = frozenset[tuple[int, int]]().union(
        *((g.opens_ingress if egress else g.opens_egress).pairs for g in groups)
    )
    for version, _, family in _FAMILIES:
        protocols = sorted(protocol for v, protocol in opened if v == version)
        if protocols:
            for group in groups:
                if _wide(group, egress=egress):
                    yield f"meta nfproto {family} meta l4proto {_listed(protocols)} jump wide_{suffix(group.group_id)}_{way}"
    for group in groups:
        yield f"jump sg_{suffix(group.group_id)}_{way}"
    yield "drop"


def _wide(group: Group, *, egress: bool) -> tuple[Allow, ...]:
    rules = group.egress if egress else group.ingress
    return tuple(rule for rule in rules if rule.wide and rule.match.protocol in (None, 6, 17))


def _timeout_key(timeouts: Timeouts) -> str:
    return f"{timeouts.tcp_established}_{timeouts.udp_stream}_{timeouts.udp}"


def _timeouts(timeouts: Timeouts) -> Iterator[Object]:
    """Idle timeouts of new connections (CT-13..CT-15)."""
    key = _timeout_key(timeouts)
    rules = []
    for _, word, family in _FAMILIES:
        tcp, udp = f"tcp_{word}_{key}", f"udp_{word}_{key}"
        yield Timeout(tcp, f"protocol tcp; l3proto {word}; policy = {{ established : {timeouts.tcp_established} }};")
        yield Timeout(
            udp,
            f"protocol udp; l3proto {word}; policy = {{ unreplied : {timeouts.udp}, replied : {timeouts.udp_stream} }};",
        )
        rules += [f'meta nfproto {family} meta l4proto tcp ct timeout set "{tcp}"']
        rules += [f'meta nfproto {family} meta l4proto udp ct timeout set "{udp}"']
    yield Chain(f"idle_{key}", tuple(rules))


# ---------------------------------------------------------------------- groups and ACLs
_TRACK_OUT = Chain("track_out", ("ct direction original ct mark set 1", "accept"))
_TRACK_IN = Chain("track_in", ("ct direction original ct mark set 2", "accept"))


def _group_chains(group: Group) -> Iterator[Object]:
    name = suffix(group.group_id)
    for way, rules, egress in (("out", group.egress, True), ("in", group.ingress, False)):
        yield Chain(f"sg_{name}_{way}", tuple(_allow_rules(rules, egress=egress, verdict=f"goto track_{way}")))
        wide = _wide(group, egress=egress)
        if wide:
            yield Chain(f"wide_{name}_{way}", tuple(_allow_rules(wide, egress=egress, verdict="accept")))


def _allow_rules(rules: Iterable[Allow], *, egress: bool, verdict: str) -> Iterator[str]:
    """Rules that differ only in their block become one rule with an interval set."""
    blocks: dict[Match, list[Any]] = {}
    for rule in rules:
        match = rule.match
        if match.group is not None:
            yield from _reference_rules(match, egress=egress, verdict=verdict)
        else:
            alike = Match(family=match.family, protocol=match.protocol, ports=match.ports, icmp_type=match.icmp_type,
                          icmp_code=match.icmp_code)  # fmt: skip
            blocks.setdefault(alike, []).append(match.remote)
    for match, remotes in blocks.items():
        yield f"{_remote(match, remotes, egress=egress)}{_service(match)}{verdict}"


def _remote(match: Match, remotes: list[Any], *, egress: bool) -> str:
    word, family = ("ip", "ipv4") if match.family == 4 else ("ip6", "ipv6")
    merged = list(collapse_addresses(remotes))
    if merged[0].prefixlen == 0:
        return f"meta nfproto {family} "
    side = "daddr" if egress else "saddr"
    return f"{word} {side} {_listed(merged)} "


def _reference_rules(match: Match, *, egress: bool, verdict: str) -> Iterator[str]:
    """SG-67, SG-75: both families; inbound only straight from the member itself (SG-68, SG-78)."""
    assert match.group is not None
    straight = "" if egress else f"meta mark & {OWN_SOURCE:#x} != 0 "
    side = "daddr" if egress else "saddr"
    for version, word, _ in _FAMILIES:
        yield f"{straight}{word} {side} @m{version}_{suffix(match.group)} {_service(match)}{verdict}"


def _service(match: Match) -> str:
    """Protocol and ports, or ICMP type and code; `th` and raw bytes serve both families alike."""
    if match.protocol is None:
        return ""
    out = f"meta l4proto {match.protocol} "
    if match.ports is not None and not match.ports.is_all:
        first, last = match.ports.first, match.ports.last
        out += f"th dport {first} " if first == last else f"th dport {first}-{last} "
    if match.icmp_type is not None:
        out += f"@th,0,8 {match.icmp_type} "
    if match.icmp_code is not None:
        out += f"@th,8,8 {match.icmp_code} "
    return out


def _member_sets(members: ir.GroupMembers) -> Iterator[Object]:
    name = suffix(members.group_id)
    yield Set(f"m4_{name}", "type ipv4_addr;", frozenset(map(str, members.ipv4)))
    yield Set(f"m6_{name}", "type ipv6_addr;", frozenset(map(str, members.ipv6)))


def _acl_chains(acl: ir.Acl) -> Iterator[Object]:
    """First match decides; the end denies (ACL-29, ACL-30)."""
    for way, entries, egress in (("out", acl.egress, True), ("in", acl.ingress, False)):
        rules = [
            f"{_remote(e.match, [e.match.remote], egress=egress)}{_service(e.match)}{'accept' if e.allow else 'drop'}"
            for e in entries
        ]
        yield Chain(f"acl_{suffix(acl.acl_id)}_{way}", (*rules, "drop"))
