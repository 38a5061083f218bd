"""Security groups: rules that others make needless, that name what is gone, that open the world in pieces; unused groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from ringfence.insight.hygiene.cover import Cover, holds
from ringfence.insight.hygiene.findings import Finding, Problem
from ringfence.insight.reach.atoms import END, Services, code_of, interval
from ringfence.insight.reach.space import Space, packet_at
from ringfence.insight.reach.words import brief
from ringfence.model.kinds import GAP, GROUP_ASSOCIATION, NETWORK_INTERFACE, SECURITY_GROUP, VPC
from ringfence.model.net import UNROUTABLE, Address, Network
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule
from ringfence.model.world import World
from ringfence.policy.compile.peering import is_stale
from ringfence.policy.compile.security_groups import group as compiled
from ringfence.policy.ir import Allow, Group
from ringfence.policy.packet import Packet

#: the source port and the address of examples, where any would do
_PORT, _FAMILIES = 40000, (4, 6)


def of_world(world: World) -> Iterator[Finding]:
    """Every group."""
    for group in world.all(SECURITY_GROUP):
        yield from unused(world, group)
        for egress in (False, True):
            yield from _Way(world, group, egress).findings()


def unused(world: World, group: SecurityGroup) -> Iterator[Finding]:
    """Neither carried nor named (CMP-03: EC2.22); the default group cannot be deleted (SG-22)."""
    named = [other.id for other in world.by(SECURITY_GROUP, "references", group.id) if other.id != group.id]
    named += [association.id for association in world.by(GROUP_ASSOCIATION, "group", group.id)]
    if group.is_default or named or world.count(NETWORK_INTERFACE, "group", group.id) or _gaps(world, group):
        return
    why = "no interface carries it, and no rule of another group names it"
    fix = f"aws ec2 delete-security-group --group-id {group.id}"
    yield Finding(problem=Problem.UNUSED_GROUP, component=group.id, element=group.id, why=why, fix=fix)


def _gaps(world: World, group: SecurityGroup) -> bool:
    """Is something about its VPC not known, so that it may be carried or named by what is missing?"""
    return bool(world.by(GAP, "vpc", group.vpc_id))


class _Way:
    """One direction of one group. Rules that were found needless are out, so that all of them may go at once.

    A prefix list changes by itself (PL-08): a rule that names one makes no other rule needless, but for those that name the
    same list.
    """

    def __init__(self, world: World, group: SecurityGroup, egress: bool) -> None:
        self.world, self.group, self.egress = world, group, egress
        self.rules = [rule for rule in group.rules if rule.egress is egress]
        ir: Group = compiled(world, group)
        allows = ir.egress if egress else ir.ingress
        #: one for each rule: those for the entries of a list differ in nothing but their block
        self.allows: dict[str, Allow] = {allow.rule_id: allow for allow in allows}
        self.blocks: dict[str, list[Network]] = {}
        for allow in allows:
            if allow.match.remote is not None:
                self.blocks.setdefault(allow.rule_id, []).append(allow.match.remote)
        bounds = [interval(allow.match) for allow in self.allows.values()]
        self.services = Services({cut for first, last in bounds for cut in (first, last + 1) if cut < END})
        self.mask = {id: self.services.of(allow.match) for id, allow in self.allows.items()}
        self.gone: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """First what names nothing, then what others do as well, then the world."""
        for rule in self.rules:
            found = self._dead(rule)
            if found is not None:
                self.gone.add(rule.id)
                yield found
        for rule in sorted(self.rules, key=self._size):
            found = self._needless(rule) if rule.id not in self.gone and rule.id in self.allows else None
            if found is not None:
                self.gone.add(rule.id)
                yield found
        if not self.egress:
            yield from self._worlds()

    def _size(self, rule: SecurityGroupRule) -> tuple[int, int]:
        """Small ones first: what a wide rule covers goes, not the wide rule."""
        length = min((block.prefixlen for block in self.blocks.get(rule.id, ())), default=129)
        return -length, self.mask.get(rule.id, 0).bit_count()

    def _finding(
        self, problem: Problem, rule: SecurityGroupRule, why: str, by: tuple[str, ...] = (), example: Packet | None = None
    ) -> Finding:  # fmt: skip
        way = "egress" if self.egress else "ingress"
        fix = f"aws ec2 revoke-security-group-{way} --group-id {self.group.id} --security-group-rule-ids {rule.id}"
        return Finding(
            problem=problem, component=self.group.id, element=rule.id, why=why, by=by, example=example, fix=fix
        )

    # ------------------------------------------------------------------ what names nothing
    def _dead(self, rule: SecurityGroupRule) -> Finding | None:
        """SG-82, SG-87: a rule whose peer is nobody."""
        if rule.cidr is not None and rule.cidr.version == 6 and not self._ipv6():
            return self._finding(
                Problem.NEVER_MATCHES, rule, f"its peer {rule.cidr} is IPv6, and its VPC has no IPv6 block"
            )
        if rule.group is None or _gaps(self.world, self.group):
            return None
        peer = self.world.find(SECURITY_GROUP, rule.group.group_id)
        if peer is None and rule.group.owner_id in ("", self.group.owner_id):
            return self._finding(Problem.STALE, rule, f"it names {rule.group.group_id}, which does not exist")
        if peer is None:
            why = f"it names {rule.group.group_id} of account {rule.group.owner_id}, which is in no VPC here"
            return self._finding(Problem.NEVER_MATCHES, rule, why)
        if is_stale(self.world, self.group, rule):
            why = f"it names {peer.id} of {peer.vpc_id}, and no active peering connection joins the VPCs"
            return self._finding(Problem.STALE, rule, why)
        carriers = self.world.by(NETWORK_INTERFACE, "group", peer.id)
        if peer is self.group and not carriers:
            return None  # a group that nobody carries may well name itself
        if not any(eni.vpc_id in {*self._vpcs(), rule.group.vpc_id} for eni in carriers):
            why = f"it names {peer.id}, which no interface of the VPC carries"
            return self._finding(Problem.NEVER_MATCHES, rule, why)
        return None

    def _vpcs(self) -> set[str]:
        """Where the group is used."""
        return {self.group.vpc_id, *(a.vpc_id for a in self.world.by(GROUP_ASSOCIATION, "group", self.group.id))}

    def _ipv6(self) -> bool:
        return any(self.world.get(VPC, id).ipv6 for id in self._vpcs())

    # ------------------------------------------------------------------ what others do
    def _needless(self, rule: SecurityGroupRule) -> Finding | None:
        """Do the rules that stay let through all that this one does, and track it alike (CT-03)?"""
        others = [o for o in self.rules if o.id in self.allows and o.id not in self.gone and o.id != rule.id]
        if not self._covered(rule, others) or self._tracks(rule, others):
            return None
        one = next((other for other in others if self._covered(rule, [other])), None)
        by = (one,) if one is not None else tuple(o for o in others if self._overlaps(rule, o))
        names = ", ".join(other.id for other in by)
        word = "lets" if one is not None else "together let"
        problem = Problem.SHADOWED if one is not None else Problem.REDUNDANT
        why = f"{names} {word} through all that it does ({brief(self._space(self.mask[rule.id]))})"
        return self._finding(problem, rule, why, tuple(o.id for o in by), self._example(rule))

    def _space(self, mask: int) -> Space:
        services = self.services
        parts = [(mask & protocol, protocol) for protocol in (services.tcp, services.udp)]
        return Space.of(services, parts, mask & ~services.ported)

    def _covered(self, rule: SecurityGroupRule, others: list[SecurityGroupRule]) -> bool:
        left = self.mask[rule.id]
        if rule.group is not None:
            for other in others:
                if other.group is not None and other.group.group_id == rule.group.group_id:
                    left &= ~self.mask[other.id]
            return not left or all(self._within(others, block, left) for block in self._blocks())
        if rule.prefix_list_id is not None:
            for other in others:
                if other.prefix_list_id == rule.prefix_list_id:
                    left &= ~self.mask[other.id]
            return not left
        return rule.cidr is not None and self._within(others, rule.cidr, left)

    def _within(self, others: list[SecurityGroupRule], block: Network, wanted: int) -> bool:
        pieces = [(code_of(o.cidr), self.mask[o.id]) for o in others if o.cidr and o.cidr.version == block.version]
        return not wanted & ~Cover(pieces).within(code_of(block))

    def _blocks(self) -> list[Network]:
        """Where the members of a group can be."""
        vpcs = [self.world.get(VPC, id) for id in self._vpcs()]
        return [a.block for vpc in vpcs for a in (*vpc.ipv4, *vpc.ipv6)]

    def _tracks(self, rule: SecurityGroupRule, others: list[SecurityGroupRule]) -> bool:
        """Would flows be tracked that are not, or replies of the other direction?"""
        wide_blocks = [block for block in self.blocks.get(rule.id, ()) if not block.prefixlen]
        if not wide_blocks:
            return False
        same = [o for o in others if wide_blocks[0] in self.blocks.get(o.id, ())]
        wide = 0
        for other in same:
            wide |= self.mask[other.id]
        if self.mask[rule.id] & ~wide & self.services.ported:
            return True
        without = {*self.gone, rule.id}
        kept = compiled(self.world, _with_rules(self.group, without - {rule.id}))
        gone = compiled(self.world, _with_rules(self.group, without))
        return (kept.opens_ingress, kept.opens_egress) != (gone.opens_ingress, gone.opens_egress)

    def _overlaps(self, rule: SecurityGroupRule, other: SecurityGroupRule) -> bool:
        if not self.mask[rule.id] & self.mask[other.id]:
            return False
        if rule.cidr is None or other.cidr is None:
            return True
        if rule.cidr.version != other.cidr.version:
            return False
        mine, theirs = code_of(rule.cidr), code_of(other.cidr)
        return holds(mine, theirs) or holds(theirs, mine)

    # ------------------------------------------------------------------ the world in pieces
    def _worlds(self) -> Iterator[Finding]:
        """CMP-04: blocks that are the internet together, with no rule that says so."""
        for family in _FAMILIES:
            rules = [r for r in self.rules if any(b.version == family for b in self.blocks.get(r.id, ()))]
            pieces = [(code_of(b), self.mask[r.id]) for r in rules for b in self.blocks[r.id] if b.version == family]
            idle = [code_of(block) for block in UNROUTABLE if block.version == family]
            said = 0
            for code, mask in pieces:
                said |= mask if code == 1 else 0
            found = Cover(pieces, idle).within(1) & self.services.full & ~said
            parts = [r for r in rules if found & self.mask[r.id]] if found else []
            if parts:
                yield self._world(family, found, parts)

    def _world(self, family: int, mask: int, parts: list[SecurityGroupRule]) -> Finding:
        blocks = ", ".join(str(rule.cidr or rule.prefix_list_id) for rule in parts)
        why = f"{blocks} together are the whole IPv{family} internet: {brief(self._space(mask))} is open to everyone"
        ids = tuple(rule.id for rule in parts)
        example = self._example(parts[0], mask)
        return Finding(
            problem=Problem.WORLD_IN_PIECES, component=self.group.id, element=ids[0], why=why, by=ids[1:],
            example=example, fix=f"narrow the blocks of {', '.join(ids)}",
        )  # fmt: skip

    def _example(self, rule: SecurityGroupRule, mask: int = -1) -> Packet | None:
        """A packet that the rule lets through."""
        found = self.services.intervals(self.mask[rule.id] & mask)
        if not found:
            return None
        remote, own = self._remote(rule), self._own(rule)
        if remote is None or own is None or remote.version != own.version:
            return None
        first = found[0][0]
        source = first & ~0xFFFF | _PORT if first < 2 << 16 else None
        return packet_at(own, remote, first, source) if self.egress else packet_at(remote, own, first, source)

    def _remote(self, rule: SecurityGroupRule) -> Address | None:
        block = next(iter(self.blocks.get(rule.id, ())), None)
        if block is not None:
            address = block.network_address
            return address + 1 if block.prefixlen < address.max_prefixlen else address
        carriers = self.world.by(NETWORK_INTERFACE, "group", rule.group.group_id) if rule.group else []
        places = {*self._vpcs(), rule.group.vpc_id} if rule.group else set()
        return next((eni.addresses[0] for eni in carriers if eni.vpc_id in places), None)

    def _own(self, rule: SecurityGroupRule) -> Address | None:
        """An address of an interface that carries the group, or one that could."""
        family = next((block.version for block in self.blocks.get(rule.id, ())), 4)
        for eni in self.world.by(NETWORK_INTERFACE, "group", self.group.id):
            found: tuple[IPv4Address | IPv6Address, ...] = eni.addresses if family == 4 else eni.ipv6
            if found:
                return found[0]
        return next((block.network_address + 4 for block in self._blocks() if block.version == family), None)


def _with_rules(group: SecurityGroup, without: set[str]) -> SecurityGroup:
    return replace(group, rules=tuple(rule for rule in group.rules if rule.id not in without))
