"""Why a packet does not arrive, or its answer does not come back, in AWS's explanation codes.

Source: Reachability Analyzer guide, "Reachability Analyzer explanation codes", read 2026-11. One function for each kind of
element that can refuse (`_EXPLAIN`); each gives an explanation for every reason the element has. Which codes cannot arise
here, and why, is in docs/analyzer.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any

from ringfence.insight.analyzer import views
from ringfence.insight.analyzer.question import Question
from ringfence.insight.analyzer.search import Blocked
from ringfence.insight.analyzer.views import View
from ringfence.insight.reach import router
from ringfence.insight.reach.atoms import point
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.journey import Step
from ringfence.insight.reach.places import Port, inside
from ringfence.insight.reach.routes import Routes
from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.kinds import INSTANCE, NETWORK_INTERFACE, PEERING_CONNECTION, ROUTE_TABLE, VPC
from ringfence.model.net import Address, Network
from ringfence.model.nouns.routing import Route, RouteTable
from ringfence.model.world import World
from ringfence.policy.compile.routing import named_by
from ringfence.policy.evaluate import INTERNET, UNROUTED, longest, network_acl, within
from ringfence.policy.ir import RouteTable as Table
from ringfence.policy.ir import Via
from ringfence.policy.packet import Layer, Packet

_RFC1918 = tuple(IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_NAMES = ("tcp", "udp")
_RFC6598 = (IPv4Network("100.64.0.0/10"),)


@dataclass(slots=True)
class _Moment:
    """The packet as the element sees it, and the interface that it was at last."""

    step: Step
    packet: Packet
    outside: bool  # beyond every gateway
    port: Port | None


class Explainer:
    """Explains one blocked packet. `explanations`: in the order of the way, each element that refuses."""

    def __init__(self, world: World, engine: Engine, question: Question, blocked: Blocked) -> None:
        self.world, self.engine, self.question, self.blocked = world, engine, question, blocked

    def explanations(self) -> list[View]:
        """All of them; never empty."""
        refusing = {id(step) for step in self.blocked.refusing}
        out: list[View] = []
        for moment in self._moments():
            if id(moment.step) in refusing:
                out += _EXPLAIN[moment.step.layer](self, moment)
        out += self._ends()
        once = [view for n, view in enumerate(out) if view not in out[:n]]
        return once or [self._no_path()]

    # ------------------------------------------------------------------ the way
    def _moments(self) -> Iterator[_Moment]:
        """Each step with the packet as it is then: gateways exchange addresses."""
        packet, places = self.blocked.packet, self.engine.places
        outside, replying = self.blocked.candidate.source == INTERNET, False
        port = places.ports.get(self.blocked.candidate.source)
        for step in self.blocked.steps:
            if step.reply and not replying:
                replying, packet, outside = True, packet.reply(), self.blocked.answer.arrives == INTERNET
            if step.interface is not None:
                port = places.ports.get(step.interface, port)
                outside = False
            yield _Moment(step, packet, outside, port)
            if step.layer is Layer.GATEWAY:
                packet, outside = self._crossed(step.component[0], packet, outside), not outside

    def _crossed(self, gateway_id: str, packet: Packet, outside: bool) -> Packet:
        gate = next(gate for gate in self.engine.places.gateways if gate.gateway_id == gateway_id)
        if packet.family != 4:
            return packet
        if outside:
            return replace(packet, dst=number_to_address(4, gate.inward.get(int(packet.dst), int(packet.dst))))
        return replace(packet, src=number_to_address(4, gate.outward.get(int(packet.src), int(packet.src))))

    # ------------------------------------------------------------------ groups
    def groups(self, moment: _Moment) -> Iterator[View]:
        """SG_HAS_NO_RULES, ENI_SG_RULES_MISMATCH, SG_REFERENCES_NOT_PRESERVED."""
        egress, step = moment.step.layer is Layer.SG_EGRESS, moment.step
        assert moment.port is not None
        around = self._around(moment.port, egress=egress)
        tables = {id: self.engine.group_set(moment.port.vpc_id, (id,)).tables[0] for id in step.component}
        silent = [id for id, table in tables.items() if not _any(table.egress if egress else table.ingress)]
        for id in silent:
            yield {"ExplanationCode": "SG_HAS_NO_RULES", "SecurityGroup": views.component(self.world, id), **around}
        speaking = [id for id in step.component if id not in silent]
        if speaking:
            yield {
                "ExplanationCode": "ENI_SG_RULES_MISMATCH",
                "SecurityGroups": [views.component(self.world, id) for id in speaking], **around,
            }  # fmt: skip
        yield from self._unknown_groups(moment, speaking, egress=egress)
        lost = self._reference(moment, egress=egress)
        if lost is not None:
            yield {"ExplanationCode": "SG_REFERENCES_NOT_PRESERVED", **lost, **around}

    def _unknown_groups(self, moment: _Moment, speaking: list[str], *, egress: bool) -> Iterator[View]:
        """UNKNOWN_PEERED_SGS: rules name groups of a VPC beyond the connection, into which the analysis may not look."""
        port, packet = moment.port, moment.packet
        remote = packet.dst if egress else packet.src
        bit = self.blocked.answer.space.services.bit(point(packet))
        ways = self.engine.places.vpcs[port.vpc_id].crossings.values() if port is not None else ()
        for way in ways:
            beyond = inside(way.blocks[remote.version], remote.max_prefixlen, int(remote))
            for id in speaking if way.peering_id in self.question.unknown and beyond else ():
                named = self.engine.group_set(way.vpc_id, (id,)).names(egress, packet.family)
                if any(name.endswith(f"@{way.far_vpc_id}") and lets >> bit & 1 for name, lets in named.items()):
                    yield {
                        "ExplanationCode": "UNKNOWN_PEERED_SGS", "SecurityGroup": views.component(self.world, id),
                        "VpcPeeringConnection": views.component(self.world, way.peering_id),
                    }  # fmt: skip

    def _reference(self, moment: _Moment, *, egress: bool) -> View | None:
        """A rule that names a group of the other end, which would let the packet through if it came straight from there."""
        ends = (self.blocked.candidate.source, self.blocked.candidate.end or "")
        other = self.engine.places.ports.get(ends[1] if egress is not moment.step.reply else ends[0])
        port = moment.port
        if other is None or port is None or other is port or other.vpc_id != port.vpc_id:
            return None
        for group_id in port.groups:
            rules = self.engine.group_set(port.vpc_id, (group_id,))
            space = self.blocked.answer.space.services
            lets = rules.by_group(egress, moment.packet.family, other.groups)
            if lets >> space.bit(point(moment.packet)) & 1:
                return {"SecurityGroup": views.component(self.world, group_id)}
        return None

    # ------------------------------------------------------------------ network ACLs
    def acl(self, moment: _Moment) -> Iterator[View]:
        """SUBNET_ACL_RESTRICTION, with the rule that denies."""
        egress, id = moment.step.layer is Layer.NACL_OUT, moment.step.component[0]
        _, by = network_acl(self.engine.index, id, moment.packet, egress=egress)
        rule = views.acl_rule(self.world, id, by.rule, egress=egress, family=moment.packet.family)
        assert moment.port is not None
        around = self._around(moment.port, egress=egress)
        del around["NetworkInterface"]
        yield {
            "ExplanationCode": "SUBNET_ACL_RESTRICTION", "Acl": views.component(self.world, id), "AclRule": rule, **around,
        }  # fmt: skip

    # ------------------------------------------------------------------ checks of the interface
    def source_check(self, moment: _Moment) -> Iterator[View]:
        """BAD_STATE of an instance that does not run, ENI_SOURCE_DEST_CHECK_RESTRICTION."""
        assert moment.port is not None
        if not moment.port.running:
            yield self._bad_state(moment.port)
        if moment.port.check and int(moment.packet.src) not in moment.port.addresses[moment.packet.family]:
            yield self._check(moment, moment.packet.src, egress=True)

    def destination_check(self, moment: _Moment) -> Iterator[View]:
        """ENI_SOURCE_DEST_CHECK_RESTRICTION: routes lead here, and here it is not forwarded."""
        yield self._check(moment, moment.packet.dst, egress=False)

    def _check(self, moment: _Moment, address: Address, *, egress: bool) -> View:
        assert moment.port is not None
        around = self._around(moment.port, egress=egress)
        return {"ExplanationCode": "ENI_SOURCE_DEST_CHECK_RESTRICTION", "Address": str(views.host(address)), **around}

    def _bad_state(self, port: Port) -> View:
        eni = self.world.get(NETWORK_INTERFACE, port.eni_id)
        instance = self.world.find(INSTANCE, eni.attachment.instance_id) if eni.attachment is not None else None
        shown = instance.id if instance is not None else port.eni_id
        state = {"State": instance.state.label} if instance is not None else {}
        return {"ExplanationCode": "BAD_STATE", "Component": views.component(self.world, shown), **state}

    # ------------------------------------------------------------------ routes
    def route(self, moment: _Moment) -> Iterator[View]:
        """Where nothing leads on: a table, the router itself, or the internet."""
        id = moment.step.component[0]
        table = self.engine.ir.fragments.get(("RouteTable", id))
        if id == INTERNET:
            yield self._no_such_public(moment)
        elif isinstance(table, Table):
            yield from self._table(moment, table)
        elif id.startswith(PEERING_CONNECTION.prefix):
            yield self._peering(moment, id)
        elif id in self.engine.places.vpcs and not self._from_gateway(moment):
            yield self._not_served(moment, id)
        else:
            yield self._nobody(moment, {"Component": views.component(self.world, id)})

    def _peering(self, moment: _Moment, id: str) -> View:
        """PCX_REQUIRES_ADDRESS_IN_VPC_CIDR, or nobody has the address in the far VPC."""
        packet, around = moment.packet, {"VpcPeeringConnection": views.component(self.world, id)}
        vpc_id = moment.port.vpc_id if moment.port is not None else ""
        way = self.engine.places.vpcs[vpc_id].crossings[id]
        near, width = self.engine.places.vpcs[vpc_id].blocks[packet.family], packet.src.max_prefixlen
        for address, blocks, vpc in (
            (packet.src, near, vpc_id), (packet.dst, way.blocks[packet.family], way.far_vpc_id),
        ):  # fmt: skip
            if not inside(blocks, width, int(address)):
                code = "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"
                return {"ExplanationCode": code, "Address": str(views.host(address)),
                        "Vpc": views.component(self.world, vpc), **around}  # fmt: skip
        owner = self.engine.places.vpcs[way.far_vpc_id].owners[packet.family].get(int(packet.dst))
        if owner is not None and not owner.running:
            return self._bad_state(owner)
        return {"ExplanationCode": "NO_POSSIBLE_DESTINATION", "Address": str(views.host(packet.dst)), **around}

    def _not_served(self, moment: _Moment, vpc_id: str) -> View:
        """The router's own address; `Protocols` and `PortRanges` are those of its services there (UF-01 … UF-07)."""
        services, family = self.blocked.answer.space.services, moment.packet.family
        served = router.served(services, self.engine.places.vpcs[vpc_id], family, int(moment.packet.dst))
        ranges = services.intervals(served)
        out: View = {
            "ExplanationCode": "PROTOCOL_RESTRICTION", "Component": views.component(self.world, vpc_id),
            "Vpc": views.component(self.world, vpc_id), "Address": str(views.host(moment.packet.dst)),
        }  # fmt: skip
        if ranges:
            out["Protocols"] = [_NAMES[first >> 16] for first, _ in ranges]
            out["PortRanges"] = [{"From": first & 0xFFFF, "To": last & 0xFFFF} for first, last in ranges]
        return out

    def _from_gateway(self, moment: _Moment) -> bool:
        """Behind a gateway without a route table of its own: nobody has the address, rather than nobody serves it."""
        crossed = [s for s in self.blocked.steps if s.layer is Layer.GATEWAY and s.reply is moment.step.reply]
        return bool(crossed)

    def _no_such_public(self, moment: _Moment) -> View:
        """From outside: no gateway publishes the address."""
        gateway = self.question.source.gateway
        code = "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"
        if moment.packet.family == 6:
            code = "IGW_DESTINATION_ADDRESS_IN_VPC_CIDRS"
        out: View = {"ExplanationCode": code, "Address": str(views.host(moment.packet.dst)), "Direction": "ingress"}
        if gateway is not None:
            out["InternetGateway"] = views.component(self.world, gateway)
        end = self.engine.places.ports.get(self.blocked.candidate.end or "")
        if end is not None:
            out |= {name: value for name, value in self._around(end, egress=False).items() if name != "Direction"}
        return out

    def _table(self, moment: _Moment, table: Table) -> Iterator[View]:
        dst = moment.packet.dst
        around = self._at_table(moment, table)
        route = None if within(dst, UNROUTED) else longest(table.routes, dst)
        if route is not None and _hidden(self.world, table, route.destination):
            route = None
        if route is None:
            yield {"ExplanationCode": "NO_ROUTE_TO_DESTINATION", **self._towards(dst), **around}
        elif route.via is Via.BLACKHOLE:
            view = views.find_route(self.world, table.table_id, str(route.destination), active=False)
            yield {"ExplanationCode": "BAD_STATE_ROUTE", "RouteTableRoute": view, **around}
        elif route.via is Via.LOCAL:
            view = views.find_route(self.world, table.table_id, str(route.destination))
            yield self._nobody(moment, {"RouteTableRoute": view, **around})

    def _towards(self, dst: Address) -> View:
        """Where it should go: the gateway, connection or endpoint, when any address beyond it would do."""
        ways = [end.way for end in (self.question.destination, self.question.source) if end is not None]
        way = next((id for id in ways if id is not None), None)
        if self.blocked.candidate.atom is not None and way is not None:
            return {"Destination": views.component(self.world, way)}
        return {"Address": str(views.host(dst))}

    def _nobody(self, moment: _Moment, around: View) -> View:
        """A local route: no interface has the address, or its instance does not run."""
        vpc = moment.port.vpc_id if moment.port is not None else self.blocked.candidate.end
        place = self.engine.places.vpcs.get(vpc or "")
        owner = place.owners[moment.packet.family].get(int(moment.packet.dst)) if place is not None else None
        if owner is not None and not owner.running:
            return self._bad_state(owner)
        return {"ExplanationCode": "NO_POSSIBLE_DESTINATION", "Address": str(views.host(moment.packet.dst)), **around}

    def _at_table(self, moment: _Moment, table: Table) -> View:
        out: View = {
            "RouteTable": views.component(self.world, table.table_id), "Vpc": views.component(self.world, table.vpc_id),
        }  # fmt: skip
        if moment.port is not None and moment.port.net.table_id == table.table_id:
            out["Subnet"] = views.component(self.world, moment.port.net.subnet_id)
        return out

    # ------------------------------------------------------------------ gateways
    def gateway(self, moment: _Moment) -> Iterator[View]:
        """IGW_… and GATEWAY_REJECTS_SPOOFED_TRAFFIC, every reason there is."""
        id = moment.step.component[0]
        reasons = self._entering(moment, id) if moment.outside else self._leaving(moment, id)
        for code, address in reasons:
            yield {
                "ExplanationCode": code, "Address": str(views.host(address)),
                "Direction": "ingress" if moment.outside else "egress", "InternetGateway": views.component(self.world, id),
            }  # fmt: skip

    def _leaving(self, moment: _Moment, id: str) -> Iterator[tuple[str, Address]]:
        gate, packet = next(g for g in self.engine.places.gateways if g.gateway_id == id), moment.packet
        known = int(packet.src) in gate.outward if packet.family == 4 else inside(gate.ipv6[6], 128, int(packet.src))
        if not known:
            yield "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", packet.src
        yield from _private(packet.dst, "IGW_DESTINATION_ADDRESS_NOT_IN_{}_EGRESS")
        if known and not within(packet.dst, (*_RFC1918, *_RFC6598)):
            yield "NO_POSSIBLE_DESTINATION", packet.dst

    def _entering(self, moment: _Moment, id: str) -> Iterator[tuple[str, Address]]:
        gate, packet = next(g for g in self.engine.places.gateways if g.gateway_id == id), moment.packet
        inner = inside(gate.inner[packet.family], 32 if packet.family == 4 else 128, int(packet.src))
        if inner or (packet.family == 4 and int(packet.src) in gate.inward):
            yield "GATEWAY_REJECTS_SPOOFED_TRAFFIC", packet.src
            return
        yield from _private(packet.src, "IGW_SOURCE_ADDRESS_NOT_IN_{}_INGRESS")
        if not within(packet.src, (*_RFC1918, *_RFC6598)):
            yield "GATEWAY_REJECTS_SPOOFED_TRAFFIC", packet.src

    # ------------------------------------------------------------------ both ends
    def _peered(self, source: Port, end: Port) -> bool:
        crossings = self.engine.places.vpcs[source.vpc_id].crossings.values()
        return any(way.far_vpc_id == end.vpc_id for way in crossings)

    def _ends(self) -> Iterator[View]:
        """What follows from where the packet should have gone."""
        candidate, question = self.blocked.candidate, self.question
        source, end = self.engine.places.ports.get(candidate.source), self.engine.places.ports.get(candidate.end or "")
        if source is not None and end is not None and source.vpc_id != end.vpc_id and not self._peered(source, end):
            yield {
                "ExplanationCode": "DISCONNECTED_VPCS", "SourceVpc": views.component(self.world, source.vpc_id),
                "DestinationVpc": views.component(self.world, end.vpc_id),
            }  # fmt: skip
        if end is not None and not self._has(end, candidate.dst):
            yield {
                "ExplanationCode": "ENI_ADDRESS_RESTRICTION", "Address": str(views.host(candidate.dst)),
                **self._around(end, egress=False),
            }  # fmt: skip
        if source is not None and end is not None and source.vpc_id == end.vpc_id:
            yield from self._local_only(source, candidate.dst, end)
        if source is not None and question.destination is not None and question.destination.way is not None:
            yield from self._unused_routes(source, question.destination.way, candidate.dst)
        if question.source.gateway is not None:
            yield from self._public_expected()

    def _has(self, port: Port, address: Address) -> bool:
        gate = self.engine.places.vpcs[port.vpc_id].gateway
        own = port.addresses[address.version]
        published = gate.inward.get(int(address)) if gate is not None and address.version == 4 else None
        return int(address) in own or published in own

    def _local_only(self, source: Port, address: Address, end: Port) -> Iterator[View]:
        """The destination is in the VPC, the address is not, and no other route leads there."""
        blocks = [a.block for a in _vpc(self.world, source.vpc_id)]
        if within(address, blocks) or self._has(end, address):
            return
        table = source.net.table_id
        local = [
            views.find_route(self.world, table, str(block)) for block in blocks if block.version == address.version
        ]
        for view in local[:1]:
            yield {
                "ExplanationCode": "VPC_LOCAL_ROUTE_CIDR_RESTRICTION", "Address": str(views.host(address)),
                "RouteTable": views.component(self.world, table), "RouteTableRoute": view,
                "Cidrs": [str(block) for block in blocks if block.version == address.version],
                "Vpc": views.component(self.world, source.vpc_id),
            }  # fmt: skip

    def _usable(self, source: Port, way: str) -> bool:
        """Do routes of the VPC to it lead anywhere?"""
        place = self.engine.places.vpcs[source.vpc_id]
        return way in (
            *place.crossings,
            *self.engine.places.endpoints,
            *([place.gateway.gateway_id] if place.gateway else ()),
        )

    def _unused_routes(self, source: Port, gateway_id: str, address: Address) -> Iterator[View]:
        """Routes to the gateway, connection or endpoint that do not take the packet: CANNOT_ROUTE, MORE_SPECIFIC_ROUTE;
        NO_ROUTE_TO_DESTINATION when there are none."""
        table = self.engine.ir.fragments["RouteTable", source.net.table_id]
        row = self.world.get(ROUTE_TABLE, source.net.table_id)
        assert isinstance(table, Table)
        ours = list(_routes_to(self.world, row, gateway_id, address))
        taken = Routes(table).to(address.version, self.engine.atom(address.version, int(address)))
        around = {
            "RouteTable": views.component(self.world, row.id), "Vpc": views.component(self.world, row.vpc_id),
            "Subnet": views.component(self.world, source.net.subnet_id),
        }  # fmt: skip
        if not ours and taken is not None and taken.via is not Via.BLACKHOLE:
            yield {
                "ExplanationCode": "NO_ROUTE_TO_DESTINATION", "Destination": views.component(self.world, gateway_id),
                **around,
            }  # fmt: skip
        for route in ours:
            code = _unused(route, address, None if taken is None else taken.destination)
            if code is not None:
                active = self._usable(source, gateway_id)
                view = views.find_route(self.world, row.id, str(route.destination), active=active)
                yield {"ExplanationCode": code, "RouteTableRoute": view, **around}

    def _public_expected(self) -> Iterator[View]:
        """A filter at an internet gateway with an address that is not public."""
        for field in ("source_address", "destination_address"):
            address = getattr(self.question.at_source, field)
            if address is not None and within(address, (*_RFC1918, *_RFC6598)):
                yield {
                    "ExplanationCode": "IGW_EXPECTS_PUBLIC_ADDRESS", "Address": str(views.host(address)),
                    "InternetGateway": views.component(self.world, self.question.source.gateway or ""),
                    "PacketField": field.replace("_address", "-address"),
                }  # fmt: skip

    def endpoint(self, moment: _Moment) -> Iterator[View]:
        """VPCE_GATEWAY_PROTOCOL_RESTRICTION; AWS has no code for what is no address of the VPC's."""
        shown = views.component(self.world, moment.step.component[0])
        if moment.step.lets:
            yield {"ExplanationCode": "VPCE_GATEWAY_PROTOCOL_RESTRICTION", "VpcEndpoint": shown}
        else:
            yield {"ExplanationCode": "NO_PATH", "Component": shown}

    def _no_path(self) -> View:
        """Every element lets it through, and yet it ends elsewhere: the answer takes another way home."""
        arrives = self.blocked.answer.arrives
        shown = {"Component": views.component(self.world, arrives)} if arrives not in (None, INTERNET) else {}
        return {"ExplanationCode": "NO_PATH", **shown}

    def _around(self, port: Port, *, egress: bool) -> View:
        return {
            "Direction": "egress" if egress else "ingress", "NetworkInterface": views.component(self.world, port.eni_id),
            "Subnet": views.component(self.world, port.net.subnet_id), "Vpc": views.component(self.world, port.vpc_id),
        }  # fmt: skip


_EXPLAIN: dict[Layer, Callable[[Explainer, _Moment], Iterator[View]]] = {
    Layer.SG_EGRESS: Explainer.groups, Layer.SG_INGRESS: Explainer.groups,
    Layer.NACL_OUT: Explainer.acl, Layer.NACL_IN: Explainer.acl,
    Layer.NO_ROUTE: Explainer.route, Layer.GATEWAY: Explainer.gateway, Layer.ENDPOINT: Explainer.endpoint,
    Layer.SOURCE_CHECK: Explainer.source_check, Layer.DEST_CHECK: Explainer.destination_check,
}  # fmt: skip


# ---------------------------------------------------------------------- small parts
def _any(way: Any) -> bool:
    """Has a direction of a group any rule?"""
    return any(way.blocks.values()) or any(way.groups.values())


def _unused(route: Route, address: Address, taken: Any) -> str | None:
    if address not in route.destination:
        return "CANNOT_ROUTE"
    return "MORE_SPECIFIC_ROUTE" if taken is not None and taken != route.destination else None


def _routes_to(world: World, row: RouteTable, target_id: str, address: Address) -> Iterator[Route]:
    """The routes of a table to a target, of the address's family; one to a prefix list as its entry that says most about the
    address: the narrowest that holds it, else any."""
    yield from (r for r in row.routes if r.target_id == target_id and r.destination.version == address.version)
    for listed in row.listed:
        held = find_list(world, listed.prefix_list_id) if listed.target_id == target_id else None
        blocks = [entry.cidr for entry in held.entries] if held is not None else []
        led = [block for block in blocks if block.version == address.version and named_by(world, row, block) is listed]
        best = max(led, key=lambda block: (address in block, block.prefixlen), default=None)
        if best is not None:
            yield Route(destination=best, target=listed.target, target_id=target_id, origin=listed.origin)


def _private(address: Address, code: str) -> Iterator[tuple[str, Address]]:
    for name, blocks in (("RFC1918", _RFC1918), ("RFC6598", _RFC6598)):
        if within(address, blocks):
            yield code.format(name), address


def _hidden(world: World, table: Table, destination: Network) -> bool:
    """A black hole that every table has and none shows: what AWS keeps for itself (RT-09)."""
    row = world.find(ROUTE_TABLE, table.table_id)
    shown = row is not None and named_by(world, row, destination) is not None
    return not shown and all(association.block != destination for association in _vpc(world, table.vpc_id))


def _vpc(world: World, id: str) -> tuple[Any, ...]:
    row = world.get(VPC, id)
    return (*row.ipv4, *row.ipv6)
