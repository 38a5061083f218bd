"""The walk itself: which element comes after which (docs/architecture.md, "How a packet is judged")."""

from __future__ import annotations

from typing import Protocol

from ringfence.insight.reach import gateway, router
from ringfence.insight.reach.acls import AclTable
from ringfence.insight.reach.atoms import Services
from ringfence.insight.reach.groups import GroupSet
from ringfence.insight.reach.journey import INWARD, OUTWARD, Phase, Unmodelled
from ringfence.insight.reach.places import (
    UNROUTED_CODES,
    WIDTH,
    Crossing,
    Gateway,
    Place,
    Places,
    Port,
    ServiceGate,
    inside,
    public,
)
from ringfence.insight.reach.routes import Routes
from ringfence.policy.evaluate import INTERNET, MAX_APPLIANCES, SERVICE
from ringfence.policy.ir import Via
from ringfence.policy.packet import Layer


class Tables(Protocol):
    """What the walk looks up."""

    services: Services
    places: Places

    def atom(self, family: int, address: int) -> int: ...
    def group_set(self, vpc_id: str, groups: tuple[str, ...]) -> GroupSet: ...
    def acl(self, acl_id: str) -> AclTable: ...
    def routes(self, table_id: str) -> Routes: ...
    def carried(self, vpc_id: str, family: int, address: int) -> tuple[str, ...]: ...
    def carried_there(self, way: Crossing, family: int, address: int) -> tuple[str, ...]: ...
    def refuse_unknown(self, vpc_id: str) -> None: ...
    def refuse_unknown_outside(self, family: int, address: int) -> None: ...


def _refuse_doubt(port: Port) -> None:
    if port.doubt is not None:
        raise Unmodelled(port.eni_id, port.doubt)


class Walk:
    """One way of one address pair. `end`: where it arrives (an interface id, INTERNET, SERVICE), or None."""

    def __init__(self, tables: Tables, phase: Phase, family: int, src: int, dst: int) -> None:
        self.tables, self.phase, self.family = tables, phase, family
        self.src, self.dst = src, dst
        self.hops = 0
        self.through: list[str] = []
        self.endpoint: ServiceGate | None = None  # by which it reached a service, that answers from there

    # ------------------------------------------------------------------ elements
    def _nothing(self, layer: Layer, component: str, eni: str | None = None) -> None:
        """An element that lets nothing through."""
        self.phase.filter(layer, (component,), 0, eni)

    def _acl(self, layer: Layer, port: Port, *, egress: bool) -> None:
        table = self.tables.acl(port.net.acl_id)
        atom = self.tables.atom(self.family, self.dst if egress else self.src)
        self.phase.filter(layer, (port.net.acl_id,), table.allowed(egress, self.family, atom), port.eni_id)

    def _groups(self, layer: Layer, port: Port, *, egress: bool, direct: bool, over: Crossing | None = None) -> None:
        """References to groups hold for what comes straight from an interface that carries them (SG-68, SG-78)."""
        remote = self.dst if egress else self.src
        family, tables = self.family, self.tables
        groups = tables.group_set(port.vpc_id, port.groups)
        rules = groups.by_block(egress, family, tables.atom(family, remote))
        if egress:
            for crossing in tables.places.vpcs[port.vpc_id].crossings.values():
                rules |= groups.by_group(egress, family, tables.carried_there(crossing, family, remote))
        if over is not None and direct:
            back = tables.places.vpcs[port.vpc_id].crossings[over.peering_id]
            rules |= groups.by_group(egress, family, tables.carried_there(back, family, remote))
        elif egress or direct:
            rules |= groups.by_group(egress, family, tables.carried(port.vpc_id, family, remote))
        form, way = (port.eni_id, self.src, self.dst), OUTWARD if egress else INWARD
        for outward, services, list_id in groups.lists:
            if outward is egress and services & ~rules & self.phase.asks(form, way):
                raise Unmodelled(list_id, "the entries of this prefix list are not known")
        self.phase.group(layer, port.groups, form, way, rules, groups.untracked(egress, family))

    # ------------------------------------------------------------------ from an interface
    def from_interface(self, port: Port) -> str | None:
        """A packet an interface sends, or an appliance passes on."""
        self.tables.refuse_unknown(port.vpc_id)
        _refuse_doubt(port)
        if not port.running:
            self._nothing(Layer.SOURCE_CHECK, port.eni_id, port.eni_id)
            return None
        direct = self.src in port.addresses[self.family]
        if port.check and not direct:  # NET-21
            self._nothing(Layer.SOURCE_CHECK, port.eni_id, port.eni_id)
            return None
        place = self.tables.places.vpcs[port.vpc_id]
        if router.keeps(place, self.family, self.dst):
            served = router.served(self.tables.services, place, self.family, self.dst)
            self.phase.filter(Layer.NO_ROUTE, (port.vpc_id,), served)
            return SERVICE
        within = inside(port.net.blocks[self.family], WIDTH[self.family], self.dst)
        self._groups(Layer.SG_EGRESS, port, egress=True, direct=True)
        if not within:  # ACL-32
            self._acl(Layer.NACL_OUT, port, egress=True)
        target = self._local(place, port.net.table_id) if within else self._route(place, port.net.table_id)
        if isinstance(target, Gateway):
            return self._to_internet(target)
        if isinstance(target, ServiceGate):
            return self._to_endpoint(place, target)
        if isinstance(target, Crossing):
            return self._to_peer(target, direct=direct)
        return None if target is None else self._arrive(target, direct=direct, within=within)

    # ------------------------------------------------------------------ routes
    def _local(self, place: Place, component: str) -> Port | None:
        owner = place.owners[self.family].get(self.dst)
        if owner is None or not owner.running:
            self._nothing(Layer.NO_ROUTE, component)
            return None
        return owner

    def _route(self, place: Place, table_id: str) -> Port | Gateway | ServiceGate | Crossing | None:
        """Where a table leads (RT-01..RT-12)."""
        route = None
        if not inside(UNROUTED_CODES[self.family], WIDTH[self.family], self.dst):
            routes = self.tables.routes(table_id)
            route = routes.to(self.family, self.tables.atom(self.family, self.dst))
            routes.refuse_unread(route, public=public(self.family, self.dst))
        via = Via.BLACKHOLE if route is None else route.via
        target: Port | Gateway | ServiceGate | Crossing | None = None
        if via is Via.LOCAL:
            return self._local(place, table_id)
        if via is Via.GATEWAY:
            target = place.gateway
        elif via is Via.ENDPOINT and route is not None and route.target is not None:
            target = self.tables.places.endpoints.get(route.target)
        elif via is Via.PEERING and route is not None and route.target is not None:
            target = place.crossings.get(route.target)
        elif via is Via.INTERFACE and route is not None and route.target is not None:
            appliance = self.tables.places.ports.get(route.target)
            target = appliance if appliance is not None and appliance.running else None
        elif via is not Via.BLACKHOLE:
            raise Unmodelled((route.target if route else None) or table_id, "routes by way of it are not modelled")
        if target is None:
            self._nothing(Layer.NO_ROUTE, table_id)
        return target

    # ------------------------------------------------------------------ to an interface
    def _arrive(self, port: Port, *, direct: bool, within: bool, over: Crossing | None = None) -> str | None:
        """Into an interface; one that is not the destination is an appliance and passes the packet on unchanged."""
        _refuse_doubt(port)
        if not within:
            self._acl(Layer.NACL_IN, port, egress=False)
        self._groups(Layer.SG_INGRESS, port, egress=False, direct=direct, over=over)
        if self.dst in port.addresses[self.family]:
            return port.eni_id
        if port.check:
            self._nothing(Layer.DEST_CHECK, port.eni_id, port.eni_id)
            return None
        self.hops += 1
        if self.hops > MAX_APPLIANCES:
            self._nothing(Layer.NO_ROUTE, port.eni_id)
            return None
        self.through.append(port.eni_id)
        return self.from_interface(port)

    # ------------------------------------------------------------------ gateway endpoints
    def _to_endpoint(self, place: Place, gate: ServiceGate) -> str | None:
        """The service hears the VPC's own interfaces (VPE-04, VPE-06)."""
        ours = self.src in place.owners[self.family]
        if not ours or not inside(gate.blocks[self.family], WIDTH[self.family], self.dst):
            self._nothing(Layer.ENDPOINT, gate.endpoint_id)
            return None
        self.phase.filter(Layer.ENDPOINT, (gate.endpoint_id,), router.behind_endpoint(self.tables.services))
        self.endpoint = gate
        return SERVICE

    def from_endpoint(self, gate: ServiceGate) -> str | None:
        """What the service answers, judged as any packet that enters (VPE-05)."""
        target = self._local(self.tables.places.vpcs[gate.vpc_id], gate.vpc_id)
        return None if target is None else self._arrive(target, direct=False, within=False)

    # ------------------------------------------------------------------ a peering connection
    def _to_peer(self, way: Crossing, *, direct: bool) -> str | None:
        """Between the blocks of the two VPCs, to the interface that has the address and nowhere else (PCX-05..PCX-07)."""
        family, width = self.family, WIDTH[self.family]
        near = self.tables.places.vpcs[way.vpc_id].blocks[family]
        if not (inside(near, width, self.src) and inside(way.blocks[family], width, self.dst)):
            self._nothing(Layer.NO_ROUTE, way.peering_id)
            return None
        return self._from_peer(way, direct=direct)

    def _from_peer(self, way: Crossing, *, direct: bool) -> str | None:
        """On the other side of a connection."""
        self.tables.refuse_unknown(way.far_vpc_id)
        owner = self._local(self.tables.places.vpcs[way.far_vpc_id], way.peering_id)
        return None if owner is None else self._arrive(owner, direct=direct, within=False, over=way)

    # ------------------------------------------------------------------ the internet gateway
    def _to_internet(self, gate: Gateway) -> str | None:
        """Out: the source becomes its public address (IGW-03..IGW-08)."""
        source = gateway.leaving(gate, self.family, self.src, self.dst)
        if source is None:
            self._nothing(Layer.GATEWAY, gate.gateway_id)
            return None
        self.phase.filter(Layer.GATEWAY, (gate.gateway_id,), self.tables.services.full)
        self.src = source
        return self._on_internet(outside=False)

    def _on_internet(self, *, outside: bool) -> str | None:
        """To the VPC that has the address, else to the outside host itself."""
        places = self.tables.places
        gate = places.behind(self.family, self.dst)
        if gate is not None:
            return self._from_gateway(gate, outside=outside)
        closed = places.closed(self.family, self.dst)
        if closed is None:
            return INTERNET
        self.tables.refuse_unknown(closed)
        self._nothing(Layer.NO_ROUTE, INTERNET)
        return None

    def from_internet(self) -> str | None:
        """A packet an outside host sends."""
        end = self._on_internet(outside=True)
        if end == INTERNET:
            self.tables.refuse_unknown_outside(self.family, self.dst)
            self._nothing(Layer.NO_ROUTE, INTERNET)
            return None
        return end

    def _from_gateway(self, gate: Gateway, *, outside: bool) -> str | None:
        """In: the public destination becomes the private one; then the gateway's own route table, if any (RT-13)."""
        self.tables.refuse_unknown(gate.vpc_id)
        target_address = gateway.entering(gate, self.family, self.src, self.dst, outside=outside)
        if target_address is None:
            self._nothing(Layer.GATEWAY, gate.gateway_id)
            return None
        self.phase.filter(Layer.GATEWAY, (gate.gateway_id,), self.tables.services.full)
        self.dst = target_address
        place = self.tables.places.vpcs[gate.vpc_id]
        if gate.table_id is None:
            target: Port | Gateway | ServiceGate | Crossing | None = self._local(place, gate.vpc_id)
        else:
            target = self._route(place, gate.table_id)
        if isinstance(target, Gateway | ServiceGate | Crossing):  # the API refuses such routes (RT-13, PCX-07, PL-12)
            self._nothing(Layer.NO_ROUTE, gate.table_id or gate.vpc_id)
            return None
        return None if target is None else self._arrive(target, direct=False, within=False)
