"""Rules of security groups against what was recorded: which were never needed, and the narrowest that would still have done.

A narrower rule lets in a part of what its rule lets in: fewer ports, fewer addresses. That nothing else becomes possible is
then shown once more by the reachability engine, and that everything recorded is still admitted by the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import collapse_addresses
from typing import Any

from ringfence.insight.compare.changes import Entry, Kind, compare
from ringfence.insight.flowlogs.facts import covering, facts_of
from ringfence.insight.flowlogs.openings import Opening
from ringfence.insight.flowlogs.records import Direction
from ringfence.model.kinds import NETWORK_INTERFACE, SECURITY_GROUP
from ringfence.model.net import Address, Network, host_network
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule
from ringfence.model.world import World, put
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import Index, matches, named_members
from ringfence.policy.ir import Allow, Interface
from ringfence.policy.packet import Packet

#: rules that one rule may become; past that ports, then addresses, are taken together
MOST_RULES = 5
_PORTED, _ICMP = frozenset({6, 17}), frozenset({1, 58})


@dataclass(slots=True)
class Use:
    """A rule, and what was admitted by it. `instead`: narrower rules; empty: none needed it; None: nothing is narrower."""

    group: SecurityGroup
    rule: SecurityGroupRule
    openings: list[Opening] = field(default_factory=list)
    instead: list[SecurityGroupRule] | None = None
    uncovered: tuple[str, ...] = ()  # interfaces of the group that no flow log of accepted traffic covers

    @property
    def verdict(self) -> str:
        if not self.openings:
            return "never needed" if not self.uncovered else "not seen to be needed"
        if self.instead is not None:
            return "could be narrower"
        protocols = {opening.protocol for opening in self.openings}
        return "needed by many protocols" if len(protocols) > MOST_RULES else "as narrow as what was seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the rules suggested do to the network. Sound: nothing `opened` or `unknown`, and no opening `refused`."""

    replayed: int
    refused: tuple[Opening, ...]
    unexplained: int  # openings that the rules of now did not admit in the first place
    opened: tuple[Entry, ...]
    unknown: tuple[Entry, ...]
    closed: int

    @property
    def sound(self) -> bool:
        return not self.opened and not self.unknown and not self.refused


@dataclass(frozen=True, slots=True)
class Suggestions:
    uses: tuple[Use, ...]
    after: World
    proof: Proof


def suggest(world: World, seen: Iterable[Opening], groups: frozenset[str] | None = None) -> Suggestions:
    """For the rules of these groups, or of all that an interface has."""
    openings = list(seen)
    index = Index(compile_world(world))
    uses = {(use.group.id, use.rule.id): use for use in _rules(world, groups)}
    admitted = []
    for opening in openings:
        by = list(_admitting(index, opening))
        if by:
            admitted.append(opening)
        for key in by:
            if key in uses:
                uses[key].openings.append(opening)
    for use in uses.values():
        use.instead = narrower(use.rule, use.openings)
    after = _with(world, uses.values())
    return Suggestions(tuple(uses.values()), after, _proof(world, after, openings, admitted))


def _rules(world: World, groups: frozenset[str] | None) -> Iterator[Use]:
    for group in world.all(SECURITY_GROUP):
        members = world.by(NETWORK_INTERFACE, "group", group.id)
        if (groups is not None and group.id not in groups) or (groups is None and not members):
            continue
        uncovered = tuple(eni.id for eni in members if not _covered(world, eni.id))
        for rule in group.rules:
            yield Use(group, rule, uncovered=uncovered)


def _covered(world: World, interface_id: str) -> bool:
    known = facts_of(world, interface_id)
    return known is not None and any(log.traffic_type in ("ALL", "ACCEPT") for log in covering(world, known))


# ---------------------------------------------------------------------- what admitted what
def _admitting(index: Index, opening: Opening) -> Iterator[tuple[str, str]]:
    """(group, rule) of every rule that admits the conversation's first packet at the interface."""
    eni = index.find(Interface, opening.interface_id)
    if eni is None:
        return
    egress = opening.direction is Direction.EGRESS
    packet = Packet(
        src=opening.source, dst=opening.destination, protocol=opening.protocol, sport=opening.source_port,
        dport=opening.destination_port,
    )  # fmt: skip
    for id in eni.groups:
        group = index.group(id, eni.vpc_id)
        for rule in group.egress if egress else group.ingress:
            if _fits(index, eni, rule, packet, opening.peer):
                yield group.group_id, rule.rule_id


def _fits(index: Index, eni: Interface, rule: Allow, packet: Packet, peer: Address) -> bool:
    match = rule.match
    if packet.protocol in _ICMP:  # records have no types: any of them may be meant
        match = replace(match, icmp_type=None, icmp_code=None)
    # by address, whichever way it goes: records do not tell over which connection a peer's packet came
    members = named_members(index, eni.vpc_id, match, egress=True, over=None) if match.group is not None else None
    return matches(match, packet, peer, members)


# ---------------------------------------------------------------------- narrower rules
def narrower(rule: SecurityGroupRule, openings: list[Opening]) -> list[SecurityGroupRule] | None:
    """The narrowest rules that admit these openings of the rule's, at most MOST_RULES; None when it is one of them already.

    Each admits a part of what the rule admits. Peers that are groups or prefix lists stay what they are.
    """
    if not openings:
        return []
    found: list[SecurityGroupRule] = []
    for protocol in sorted({opening.protocol for opening in openings}):
        found += _of_protocol(rule, protocol, [one for one in openings if one.protocol == protocol])
    if len(found) > MOST_RULES:
        return None
    if len(found) == 1 and found[0].same_permission(rule):
        return None
    return [replace(each, id=f"{rule.id}-{n}") for n, each in enumerate(found, 1)]


def _of_protocol(rule: SecurityGroupRule, protocol: int, openings: list[Opening]) -> list[SecurityGroupRule]:
    if protocol not in _PORTED:
        ports = {(rule.from_port, rule.to_port) if rule.protocol == protocol else (-1, -1): openings}
    else:
        ports = _by_ports(openings)
    for peers in (_exact, _one_block):
        made = [
            _rule(rule, protocol, span, block)
            for span, group in ports.items()
            for block in (peers(rule, group) if rule.cidr is not None else [None])
        ]
        if len(made) <= MOST_RULES:
            return made
        if protocol in _PORTED and len(ports) > 1:
            low, high = min(span[0] for span in ports), max(span[1] for span in ports)
            ports = {(low, high): openings}
    return made


def _by_ports(openings: list[Opening]) -> dict[tuple[int, int], list[Opening]]:
    """Runs of neighbouring ports that the same peers used."""
    by_port: dict[int, list[Opening]] = {}
    for opening in openings:
        by_port.setdefault(opening.destination_port, []).append(opening)
    spans: dict[tuple[int, int], list[Opening]] = {}
    last: tuple[int, int] | None = None
    for port in sorted(by_port):
        if last is not None and last[1] == port - 1 and _peers(spans[last]) == _peers(by_port[port]):
            spans[last[0], port] = spans.pop(last) + by_port[port]
            last = (last[0], port)
        else:
            last = (port, port)
            spans[last] = by_port[port]
    return spans


def _peers(openings: list[Opening]) -> set[Address]:
    return {opening.peer for opening in openings}


def _exact(_rule: SecurityGroupRule, openings: list[Opening]) -> list[Network]:
    blocks: list[Any] = [host_network(peer) for peer in _peers(openings)]
    return list(collapse_addresses(blocks))  # of one family, the rule's


def _one_block(rule: SecurityGroupRule, openings: list[Opening]) -> list[Network]:
    """The smallest block that has them all; it lies within the rule's, which has them too."""
    peers = sorted(_peers(openings), key=int)
    first: Any = host_network(peers[0])
    return [first.supernet(new_prefix=first.max_prefixlen - (int(peers[0]) ^ int(peers[-1])).bit_length())]


def _rule(
    rule: SecurityGroupRule, protocol: int, span: tuple[int, int], block: Network | None
) -> SecurityGroupRule:  # fmt: skip
    return replace(
        rule, protocol=protocol, from_port=span[0], to_port=span[1], cidr=block if block is not None else rule.cidr,
        tags=(),
    )  # fmt: skip


# ---------------------------------------------------------------------- proof
def _with(world: World, uses: Iterable[Use]) -> World:
    """The World with what is suggested. Rules that were merely not seen to be needed stay."""
    changed: dict[str, list[SecurityGroupRule]] = {}
    for use in uses:
        keeps = use.instead is None or (not use.openings and use.uncovered)
        changed.setdefault(use.group.id, []).extend([use.rule] if keeps else use.instead or [])
    rows: Mapping[str, SecurityGroup] = {group.id: group for group in world.all(SECURITY_GROUP)}
    made = [replace(rows[id], rules=tuple(rules)) for id, rules in changed.items() if tuple(rules) != rows[id].rules]
    return world.apply(put(SECURITY_GROUP, *made)) if made else world


def _proof(before: World, after: World, openings: list[Opening], admitted: list[Opening]) -> Proof:
    index = Index(compile_world(after))
    refused = tuple(opening for opening in admitted if next(_admitting(index, opening), None) is None)
    entries = compare(before, after) if after is not before else []
    return Proof(
        replayed=len(admitted), refused=refused, unexplained=len(openings) - len(admitted),
        opened=tuple(entry for entry in entries if entry.kind is Kind.OPENED),
        unknown=tuple(entry for entry in entries if entry.kind is Kind.UNKNOWN),
        closed=sum(1 for entry in entries if entry.kind is Kind.CLOSED),
    )  # fmt: skip
