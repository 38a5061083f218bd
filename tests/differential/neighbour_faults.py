"""Seeded faults of prefix lists, peering and gateway endpoints: most of them are truths about other rows than there are.

The compiler is shown a world in which the mistake would be right (every connection active, a list's blocks without the static
route of the same prefix, ...), while the specification judges the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ringfence.model.kinds import PEERING_CONNECTION, PREFIX_LIST, ROUTE_TABLE, SECURITY_GROUP, VPC, VPC_ENDPOINT
from ringfence.model.net import Network, parse_network
from ringfence.model.nouns.peering import PeeringConnection, PeeringStatus
from ringfence.model.nouns.prefix_list import PrefixList, PrefixListEntry
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable, RouteTarget
from ringfence.model.nouns.security_group import SecurityGroup
from ringfence.model.row import Row
from ringfence.model.world import World
from ringfence.policy import evaluate, ir
from ringfence.policy.compile import Compiler
from tests.builders import ANY, ANY6, changed, ident

Seed = Callable[[Any], Any]
SEEDS: dict[str, Seed] = {}


Rows = Callable[[World], Iterable[Row]]


def shown(rows: Rows) -> Rows:
    """A fault: the rows that the compiler sees in place of the real ones."""

    class Faulty(Compiler):
        def compile(self, world: World) -> ir.Ir:
            return super().compile(changed(world, list(rows(world))))

    SEEDS[rows.__name__.replace("_", "-")] = lambda _patch: Faulty
    return rows


# ---------------------------------------------------------------------- prefix lists
def blocks(world: World, list_id: str) -> list[Network]:
    found = world.find(PREFIX_LIST, list_id)
    return [entry.cidr for entry in found.entries] if found is not None else []


def holding(found: PrefixList, *held: Network) -> PrefixList:
    return replace(found, entries=tuple(PrefixListEntry(cidr=block) for block in held))


@shown
def list_route_beats_static(world: World) -> Iterable[Row]:
    """RT-07."""
    for table in world.all(ROUTE_TABLE):
        taken = {block for route in table.listed for block in blocks(world, route.prefix_list_id)}
        yield replace(table, routes=tuple(r for r in table.routes if r.destination not in taken))


@shown
def list_routes_ignored(world: World) -> Iterable[Row]:
    return [replace(table, listed=()) for table in world.all(ROUTE_TABLE)]


@shown
def list_matches_the_other_family(world: World) -> Iterable[Row]:
    """SG-75."""
    for found in world.all(PREFIX_LIST):
        yield holding(found, *blocks(world, found.id), parse_network(ANY6 if found.family == 4 else ANY))


@shown
def empty_list_is_everyone(world: World) -> Iterable[Row]:
    for found in world.all(PREFIX_LIST):
        yield found if found.entries else holding(found, parse_network(ANY), parse_network(ANY6))


@shown
def only_a_lists_first_entry_counts(world: World) -> Iterable[Row]:
    return [replace(found, entries=found.entries[:1]) for found in world.all(PREFIX_LIST)]


@shown
def everyone_in_a_list_is_tracked(world: World) -> Iterable[Row]:
    """CT-03: rules see halves of everyone in place of everyone."""
    halves = [parse_network(half) for half in ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")]
    for found in world.all(PREFIX_LIST):
        held = [block for block in blocks(world, found.id) if block.prefixlen]
        whole = {block.version for block in blocks(world, found.id) if not block.prefixlen}
        twin = holding(found, *held, *(half for half in halves if half.version in whole))
        yield replace(twin, id=ident("pl", "twin of " + found.id))
    for group in world.all(SECURITY_GROUP):
        yield replace(group, rules=tuple(
            replace(r, prefix_list_id=ident("pl", "twin of " + r.prefix_list_id)) if r.prefix_list_id else r for r in group.rules
        ))  # fmt: skip


def an_older_version(_patch: Any) -> Any:
    """PL-08: lists are as they were when they were first seen."""

    class Faulty(Compiler):
        def compile(self, world: World) -> ir.Ir:
            seen: dict[str, PrefixList] = self.__dict__.setdefault("seen", {})
            for found in world.all(PREFIX_LIST):
                seen.setdefault(found.id, found)
            return super().compile(changed(world, list(seen.values())))

    return Faulty


SEEDS["an-older-version"] = an_older_version


# ---------------------------------------------------------------------- peering
def other(pcx: PeeringConnection, vpc_id: str) -> str:
    return pcx.far_side(vpc_id).vpc_id


def vpc_blocks(world: World, vpc_id: str) -> list[Network]:
    vpc = world.get(VPC, vpc_id)
    return [association.block for association in (*vpc.ipv4, *vpc.ipv6)]


def active(world: World) -> list[PeeringConnection]:
    return [pcx for pcx in world.all(PEERING_CONNECTION) if pcx.status is PeeringStatus.ACTIVE]


@shown
def inactive_peering_forwards(world: World) -> Iterable[Row]:
    """PCX-05, RT-12."""
    return [replace(pcx, status=PeeringStatus.ACTIVE) for pcx in world.all(PEERING_CONNECTION)]


@shown
def peering_is_transitive(world: World) -> Iterable[Row]:
    """PCX-06: what a route leads to a peer is passed on to the peer's peer."""
    for table in world.all(ROUTE_TABLE):
        more: dict[Network, Route] = {}
        for route in table.routes:
            first = next((pcx for pcx in active(world) if pcx.id == route.target_id), None)
            for second in active(world) if first is not None else ():
                middle = other(first, table.vpc_id) if first is not None else ""
                if second is first or middle not in (second.requester.vpc_id, second.accepter.vpc_id):
                    continue
                beyond, name = other(second, middle), ident("pcx", f"{table.vpc_id}{other(second, middle)}")
                side = replace(second.requester, vpc_id=table.vpc_id)
                yield replace(second, id=name, requester=side, accepter=replace(side, vpc_id=beyond))
                for block in vpc_blocks(world, beyond):
                    if block.version == route.destination.version and block.subnet_of(route.destination):  # type: ignore[arg-type]
                        more[block] = replace(route, destination=block, target_id=name)
        taken = {route.destination for route in table.routes if route.destination not in more}
        kept = tuple(r for r in table.routes if r.destination not in more)
        yield replace(table, routes=(*kept, *(r for block, r in more.items() if block not in taken)))


@shown
def answers_need_no_route(world: World) -> Iterable[Row]:
    """PCX-05, RT-18: every table has the way to its VPC's peers."""
    for table in world.all(ROUTE_TABLE):
        own = {route.destination for route in table.routes}
        ways = {
            block: Route(destination=block, target=RouteTarget.PEERING_CONNECTION, target_id=pcx.id)
            for pcx in active(world) if table.vpc_id in (pcx.requester.vpc_id, pcx.accepter.vpc_id)
            for block in vpc_blocks(world, other(pcx, table.vpc_id)) if block not in own
        }  # fmt: skip
        yield replace(table, routes=(*table.routes, *ways.values()))


@shown
def group_references_cross_regions(world: World) -> Iterable[Row]:
    """PCX-09, SG-53."""
    for pcx in world.all(PEERING_CONNECTION):
        yield replace(pcx, accepter=replace(pcx.accepter, region=pcx.requester.region))


@shown
def stale_references_match(world: World) -> Iterable[Row]:
    """SG-87: as though another connection, with no routes, were still there."""
    for pcx in world.all(PEERING_CONNECTION):
        yield replace(pcx, id=ident("pcx", "twin of " + pcx.id), status=PeeringStatus.ACTIVE)


@shown
def references_never_cross_peering(world: World) -> Iterable[Row]:
    """SG-52: rules that name a group of another VPC are left out."""
    for group in world.all(SECURITY_GROUP):
        yield replace(
            group,
            rules=tuple(r for r in group.rules if r.group is None or not _foreign(world, group, r.group.group_id)),
        )


def _foreign(world: World, group: SecurityGroup, named: str) -> bool:
    found = world.find(SECURITY_GROUP, named)
    return found is None or found.vpc_id != group.vpc_id


@shown
def references_keep_to_their_connection(world: World) -> Iterable[Row]:
    """SG-84: a rule made under a connection that has ended does not match under the next one."""
    alive = {pcx.id for pcx in active(world)} | {None}
    for group in world.all(SECURITY_GROUP):
        yield replace(
            group, rules=tuple(r for r in group.rules if r.group is None or r.group.peering_connection_id in alive)
        )


@shown
def accepters_routes_only(world: World) -> Iterable[Row]:
    """PCX-05: the requester's routes to a connection are not followed."""
    asked = {pcx.id: pcx.requester.vpc_id for pcx in world.all(PEERING_CONNECTION)}
    for table in world.all(ROUTE_TABLE):
        yield replace(table, routes=tuple(r for r in table.routes if asked.get(r.target_id or "") != table.vpc_id))


# ---------------------------------------------------------------------- gateway endpoints
def to_endpoint(world: World, table: RouteTable) -> tuple[ListRoute, ...]:
    return tuple(
        ListRoute(prefix_list_id=e.prefix_list_id, target=RouteTarget.GATEWAY_ENDPOINT, target_id=e.id)
        for e in world.by(VPC_ENDPOINT, "vpc", table.vpc_id)
    )  # fmt: skip


@shown
def endpoint_beats_a_longer_route(world: World) -> Iterable[Row]:
    """VPE-03."""
    for table in world.all(ROUTE_TABLE):
        served = [
            block for route in table.listed if route.target is RouteTarget.GATEWAY_ENDPOINT
            for block in blocks(world, route.prefix_list_id)
        ]  # fmt: skip
        yield replace(
            table, routes=tuple(r for r in table.routes if not any(_inside(r.destination, block) for block in served))
        )


def _inside(one: Network, of: Network) -> bool:
    return one.version == of.version and one.subnet_of(of)  # type: ignore[arg-type]


@shown
def endpoint_serves_every_table(world: World) -> Iterable[Row]:
    """VPE-01."""
    for table in world.all(ROUTE_TABLE):
        listed = tuple(r for r in table.listed if r.target is not RouteTarget.GATEWAY_ENDPOINT)
        yield replace(table, listed=(*listed, *to_endpoint(world, table)))


@shown
def endpoint_serves_peers(world: World) -> Iterable[Row]:
    """VPE-04, PCX-07: a route over peering reaches the other VPC's endpoint, as though it were this VPC's own."""
    for pcx in active(world):
        for here in (pcx.requester.vpc_id, pcx.accepter.vpc_id):
            for endpoint in world.by(VPC_ENDPOINT, "vpc", other(pcx, here)):
                guest = replace(endpoint, id=ident("vpce", here + endpoint.id), vpc_id=here)
                yield guest
                for table in world.by(ROUTE_TABLE, "vpc", here):
                    yield replace(
                        table,
                        routes=tuple(_to_guest(world, r, pcx, guest.id, guest.prefix_list_id) for r in table.routes),
                    )


def _to_guest(world: World, route: Route, pcx: PeeringConnection, endpoint_id: str, list_id: str) -> Route:
    leads = route.target_id == pcx.id and any(_inside(block, route.destination) for block in blocks(world, list_id))
    return replace(route, target=RouteTarget.GATEWAY_ENDPOINT, target_id=endpoint_id) if leads else route


def endpoint_passes_everything(patch: Any) -> None:
    """VPE-06."""
    patch.setattr(evaluate, "asks_service", lambda _packet: True)


def endpoint_serves_anybody(patch: Any) -> None:
    """VPE-04: also who has no interface in the VPC."""
    patch.setattr(evaluate.Index, "has_address", lambda *_: True)


def answers_of_endpoints_are_not_filtered(patch: Any) -> None:
    def wrong(self: Any, endpoint: ir.Endpoint, packet: Any) -> Any:
        owner = self.index.owner(endpoint.vpc_id, packet.dst)
        return self._end(owner.eni_id if owner is not None else None, packet)

    patch.setattr(evaluate._Journey, "from_endpoint", wrong)


for seed in (endpoint_passes_everything, endpoint_serves_anybody, answers_of_endpoints_are_not_filtered):
    SEEDS[seed.__name__.replace("_", "-")] = seed
