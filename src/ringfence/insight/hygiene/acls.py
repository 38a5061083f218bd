"""Network ACLs: entries that never decide, or decide as the rest would; ACLs that no subnet uses; routes to what is gone."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.insight.hygiene.cover import Cover, holds
from ringfence.insight.hygiene.findings import Finding, Problem
from ringfence.insight.reach.acls import AclTable
from ringfence.insight.reach.atoms import END, Services, code_of, interval
from ringfence.model.kinds import NETWORK_ACL, ROUTE_TABLE, SUBNET, VPC
from ringfence.model.nouns.network_acl import NetworkAcl
from ringfence.model.nouns.routing import RouteTable, RouteTarget
from ringfence.model.world import World
from ringfence.policy.compile.network_acls import acl as compiled
from ringfence.policy.compile.routing import route_table
from ringfence.policy.ir import Acl, AclEntry, Via

_FAMILIES = (4, 6)


def of_world(world: World) -> Iterator[Finding]:
    """Every network ACL and route table."""
    for acl in world.all(NETWORK_ACL):
        if not acl.is_default and not world.count(SUBNET, "acl", acl.id):
            fix = f"aws ec2 delete-network-acl --network-acl-id {acl.id}"
            yield Finding(
                problem=Problem.UNUSED_ACL, component=acl.id, element=acl.id, why="no subnet uses it", fix=fix
            )
        for egress in (False, True):
            yield from _Entries(world, acl, egress).findings()
    for table in world.all(ROUTE_TABLE):
        yield from blackholes(world, table)


class _Entries:
    """One direction of one network ACL. Entries that were found needless are out, so that all of them may go at once."""

    def __init__(self, world: World, acl: NetworkAcl, egress: bool) -> None:
        self.world, self.acl, self.egress = world, acl, egress
        ir: Acl = compiled(world, acl)
        self.entries = list(ir.egress if egress else ir.ingress)
        bounds = [interval(entry.match) for entry in self.entries]
        self.services = Services({cut for first, last in bounds for cut in (first, last + 1) if cut < END})
        self.codes = {family: self._codes(family) for family in _FAMILIES}

    def _codes(self, family: int) -> list[int]:
        found = {code_of(e.match.remote) for e in self.entries if e.match.remote and e.match.remote.version == family}
        every = {1, *found}
        return sorted(code for code in every if not _split(code, every))

    def findings(self) -> Iterator[Finding]:
        """From the last entry to the first: what stands behind decides whether one is needed."""
        for entry in reversed(list(self.entries)):
            found = self._family(entry) or self._needless(entry)
            if found is not None:
                self.entries.remove(entry)
                yield found

    def _finding(self, problem: Problem, entry: AclEntry, why: str, by: tuple[str, ...] = ()) -> Finding:
        way = "egress" if self.egress else "ingress"
        fix = f"aws ec2 delete-network-acl-entry --network-acl-id {self.acl.id} --{way} --rule-number {entry.number}"
        name = f"{way} {entry.number}"
        return Finding(problem=problem, component=self.acl.id, element=name, why=why, by=by, fix=fix)

    def _family(self, entry: AclEntry) -> Finding | None:
        vpc = self.world.find(VPC, self.acl.vpc_id)
        if entry.match.family != 6 or vpc is None or vpc.ipv6:
            return None
        return self._finding(
            Problem.NEVER_DECIDES, entry, f"{entry.match.remote} is IPv6, and the VPC has no IPv6 block"
        )

    def _needless(self, entry: AclEntry) -> Finding | None:
        """Does every packet find the same decision without it?"""
        rest = [other for other in self.entries if other is not entry]
        if self._table(self.entries) != self._table(rest):
            return None
        before = self.entries[: self.entries.index(entry)]
        if not self._decides(before, entry):
            by = tuple(str(other.number) for other in before if self._meets(other, entry))
            why = f"entries {', '.join(by)} before it decide every packet that it matches"
            return self._finding(Problem.NEVER_DECIDES, entry, why, by)
        word = "allowed" if entry.allow else "denied"
        why = f"whatever it decides is {word} by what stands behind it as well"
        return self._finding(Problem.REDUNDANT_ENTRY, entry, why)

    def _table(self, entries: list[AclEntry]) -> dict[tuple[int, int], int]:
        """What is let through, for each block that tells addresses apart."""
        empty: tuple[AclEntry, ...] = ()
        acl = Acl(acl_id="", vpc_id="", ingress=tuple(entries), egress=empty)
        table = AclTable(self.services, acl)
        return {(f, code): table.allowed(False, f, code) for f in _FAMILIES for code in self.codes[f]}

    def _decides(self, before: list[AclEntry], entry: AclEntry) -> bool:
        """Is there a packet that no entry before matches, and this one does?"""
        assert entry.match.remote is not None
        family = entry.match.remote.version
        pieces = [
            (code_of(e.match.remote), self.services.of(e.match))
            for e in before
            if e.match.remote is not None and e.match.remote.version == family
        ]
        return bool(self.services.of(entry.match) & ~Cover(pieces).within(code_of(entry.match.remote)))

    def _meets(self, one: AclEntry, other: AclEntry) -> bool:
        both = self.services.of(one.match) & self.services.of(other.match)
        a, b = one.match.remote, other.match.remote
        return bool(both) and a is not None and b is not None and a.version == b.version and a.overlaps(b)


def _split(code: int, every: set[int]) -> bool:
    """Do the blocks inside a block leave nothing of it?"""
    return Cover((other, 1) for other in every if other != code and holds(code, other)).within(code) & 1 == 1


def blackholes(world: World, table: RouteTable) -> Iterator[Finding]:
    """RT-12: routes whose target is gone, detached or does not run."""
    routes = route_table(world, table).routes
    lost = {route.list_id for route in routes if route.list_id is not None and route.via is Via.BLACKHOLE}
    for listed in table.listed:
        if listed.prefix_list_id in lost:
            yield _lost(table, listed.prefix_list_id, listed.target_id, "destination-prefix-list-id")
    compiled_routes = {route.destination: route for route in routes}
    for route in table.routes:
        if route.target is RouteTarget.LOCAL or compiled_routes[route.destination].via is not Via.BLACKHOLE:
            continue
        way = "destination-cidr-block" if route.destination.version == 4 else "destination-ipv6-cidr-block"
        yield _lost(table, str(route.destination), route.target_id, way)


def _lost(table: RouteTable, destination: str, target: str | None, way: str) -> Finding:
    return Finding(
        problem=Problem.BLACKHOLE, component=table.id, element=destination,
        why=f"it leads to {target or 'nothing'}, which is gone, detached or does not run",
        fix=f"aws ec2 delete-route --route-table-id {table.id} --{way} {destination}",
    )  # fmt: skip
