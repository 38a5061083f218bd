"""From IR to the kernel: namespaces, links, routes, rules and guests, in an order that never opens what is closed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from ringfence.dataplane import leases, linux, offloads, topology
from ringfence.dataplane.gateway_endpoints import Announce, GatewayEndpoints, listening
from ringfence.dataplane.guests import Guests
from ringfence.dataplane.nftables import conntrack
from ringfence.dataplane.nftables.apply import Filter, Sealed
from ringfence.dataplane.nftables.assembly import EdgeTables, InternetTables, VpcTables
from ringfence.dataplane.nftables.counting import Epoch
from ringfence.dataplane.nftables.counts import Counts
from ringfence.dataplane.plan import (
    EDGE_INTERNET,
    EDGE_VPC,
    GATEWAY,
    INTERNET_NS,
    LOOP_IN,
    LOOP_OUT,
    OWN_SOURCE,
    PEER,
    RELAY,
    RELAYED,
    SERVICE,
    TABLE_BITS,
    edge_ns,
    endpoint_ns,
    eni_ns,
    guest_ns,
    kernel_table,
    link,
    peer_links,
    policy_rule,
    suffix,
    vpc_ns,
)
from ringfence.dataplane.sandbox import ImageError
from ringfence.dataplane.services.advertise import Advertiser
from ringfence.dataplane.services.dhcp import DhcpServer
from ringfence.dataplane.services.dhcp6 import Dhcp6Server
from ringfence.dataplane.services.dns import DnsServer, Zone
from ringfence.dataplane.services.imds import ImdsServer, Roles, Tokens
from ringfence.dataplane.services.ntp import NtpServer
from ringfence.dataplane.slices import Slices, VpcSlice
from ringfence.dataplane.topology import Routes, TopologyError, run_batch
from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.wanted import Location, Place
from ringfence.model import endpoints
from ringfence.model.net import Address
from ringfence.policy import ir as nodes
from ringfence.policy.ir import Edge, Interface, Ir, Machine, Subnet, Vpc

log = logging.getLogger("ringfence.network")
Machines = dict[str, Machine]


@dataclass
class Router:
    """One VPC's namespace and what is known to be in it."""

    vpc_id: str
    netns: int
    filter: Filter
    fresh: bool = True  # made by this agent: its tables start empty
    routes: dict[str, Routes] = field(default_factory=dict)
    rules: set[int] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    plugged: dict[str, tuple[Interface, str]] = field(default_factory=dict)  # ENI -> (as plugged, place)
    cut: set[tuple[str, str]] = field(default_factory=set)  # (namespace, link) that take single packets only
    slice: VpcSlice | None = None
    laid: tuple[VpcSlice, Machines] | None = None  # what links and routes were brought to; None: they may be anything
    #: what verification compares with, for what it was made of, which is kept so that no other object gets its identity
    place: tuple[object, Place, object] | None = None
    zone: Zone | None = None
    names: nodes.Names | None = None
    peers: frozenset[str] = frozenset()  # connections that have their links
    services: tuple[DnsServer | ImdsServer | DhcpServer | Dhcp6Server | Advertiser | NtpServer, ...] = ()
    dhcp6: Dhcp6Server | None = None


@dataclass
class EdgeState:
    """One internet gateway's namespace."""

    edge: Edge
    netns: int
    filter: Filter
    routes: Routes
    outside: set[str]  # the internet's routes to it


class Network:
    """The whole data plane of a host."""

    def __init__(
        self, guests: Guests, roles: Roles = lambda _instance, _version: {},
        announce: Announce = lambda _sockets, _endpoint: None,
    ) -> None:  # fmt: skip
        self.guests = guests
        self._announce = announce
        self._roles = roles
        self._routers: dict[str, Router] = {}
        self._edges: dict[str, EdgeState] = {}
        self._endpoints = GatewayEndpoints(announce)
        self._internet: Routes | None = None
        self._internet_netns = -1
        self._internet_filter: Filter | None = None
        self._tokens = Tokens()
        self._hosts: set[str] = set()
        self._host_routes: set[str] = set()  # written when the hosts are made; kept while they are
        self._hosts_lock = threading.Lock()
        self._slices = Slices()
        self._guests_left = True  # an earlier agent's
        self._left: dict[tuple[str, Epoch], tuple[Sealed, Counts]] = {}
        self.ir: Ir | None = None
        self._first = True

    # ------------------------------------------------------------------ the whole
    def bring(self, ir: Ir) -> Iterator[dict[str, Any]]:
        """Bring the kernel to an IR; yields events for the API process."""
        self._slices.take(ir)
        parts, machines = self._slices.parts, self._slices.machines
        wanted = {id: part for id, part in parts.items() if part.interfaces}
        present = topology.namespaces()
        self._internet_up(present)
        running = yield from self._stop_guests(machines)
        for vpc_id in set(self._routers) - wanted.keys():
            self._drop_router(vpc_id)
        for vpc_id, part in wanted.items():
            router = self._router(vpc_id, present)
            if not _stands(router, part, machines, present):
                router.laid = None
                self._unplug(vpc_id, part, machines)
        self._edges_down(wanted)
        for vpc_id, link_name in self._endpoints.down(wanted.values()):
            if vpc_id in self._routers:
                for routes in self._routers[vpc_id].routes.values():
                    routes.link_gone(link_name)
        self.ir = ir
        for vpc_id, part in wanted.items():
            self._cut(self._routers[vpc_id], part)
            self._routers[vpc_id].filter.follow(self._slices.filtered[vpc_id])
        self._peers(wanted)
        if (yield from self._start_guests(wanted, machines, running)):
            running = self.guests.running_ids()
        failures = [text for vpc_id, part in wanted.items() if (text := self._connect(vpc_id, part, machines))]
        self._sync_internet()
        for instance_id in machines:
            self.guests.go(instance_id)
        if self._first:
            self._sweep(wanted, machines)
            self._first = False
        yield {"event": "endpoints", "there": self._endpoints.ids()}
        self._guests_left = bool(machines)
        yield {"event": "guests", "running": sorted(running & machines.keys()), "wanted": sorted(machines)}
        if failures:
            raise TopologyError("; ".join(failures))

    def _connect(self, vpc_id: str, part: VpcSlice, machines: Machines) -> str:
        """Links and routes of one VPC, unless they stand. Says what went wrong, or nothing: one VPC's trouble stops no other."""
        if self._routers[vpc_id].laid is not None:
            return ""
        try:
            try:
                self._lay(vpc_id, part, machines)
            except TopologyError as problem:
                log.warning("%s; trying again without the links that are lost", problem)
                self._pull_lost(vpc_id)
                self._lay(vpc_id, part, machines)
        except TopologyError as problem:
            return str(problem)
        return ""

    def _lay(self, vpc_id: str, part: VpcSlice, machines: Machines) -> None:
        self._plug(vpc_id, part, machines)
        if part.edge is not None:
            self._edge_up(part)
        self._endpoints.up(part)
        self._route(vpc_id, part)
        self._resolve(vpc_id, part)
        router = self._routers[vpc_id]
        self._cut(router, part)
        router.slice, router.laid = part, (part, machines)

    def _sweep(self, wanted: dict[str, VpcSlice], machines: Machines) -> None:
        """What an earlier agent left and nobody wants."""
        keep = {vpc_ns(id) for id in wanted} | {INTERNET_NS} | {guest_ns(id) for id in machines} | self._hosts
        keep |= {edge_ns(part.edge.gateway_id) for part in wanted.values() if part.edge}
        keep |= {endpoint_ns(each.endpoint_id) for part in wanted.values() for each in part.endpoints}
        keep |= {eni_ns(e.eni_id) for part in wanted.values() for e in part.interfaces if e.instance_id is None}
        for name in topology.namespaces() - keep:
            if name.startswith(("vpc-", "edge-", "i-", "eni-", "svc-")):
                topology.drop_namespace(name)

    # ------------------------------------------------------------------ routers
    def _router(self, vpc_id: str, present: set[str]) -> Router:
        held = self._routers.get(vpc_id)
        if held is not None:
            return held
        name = vpc_ns(vpc_id)
        fresh = name not in present
        if not fresh and not topology.router_is_whole(name):
            log.warning("%s was left half made: made anew", name)
            topology.drop_namespace(name)
            fresh = True
        if fresh:
            topology.make_namespace(name)
        netns = topology.open_namespace(name)
        router = Router(vpc_id, netns, Filter(netns, VpcTables), fresh=fresh)
        if fresh:
            topology.write_sysctls(netns, topology.ROUTER_SYSCTLS)
            run_batch(name, topology.router_base())
        else:
            router.rules = self._left_rules(name)
            run_batch(name, topology.loop_up())
        with linux.inside(netns):
            dns = DnsServer(lambda: router.zone)
            imds = ImdsServer(lambda source: self._caller(vpc_id, source), self._tokens, self._roles)
            dhcp = DhcpServer(netns, lambda link_name: leases.lease(router, link_name))
            router.dhcp6 = Dhcp6Server(netns, lambda link_name: leases.lease6(router, link_name))
            advertiser = Advertiser(netns, lambda: leases.links6(router), topology.MTU)
            router.services = (dns, imds, dhcp, router.dhcp6, advertiser, NtpServer())
        self._routers[vpc_id] = router
        return router

    @staticmethod
    def _left_rules(name: str) -> set[int]:
        """Route tables whose policy rules an earlier agent left; one that it wrote for one family only is taken away."""
        four, six = (
            {
                int(rule["fwmark"], 16) + (0 if rule["fwmask"] == hex(TABLE_BITS) else RELAY)
                for rule in topology.listed(name, family, "rule", "show")
                if rule.get("fwmask") in (hex(TABLE_BITS), hex(TABLE_BITS | OWN_SOURCE))
            }
            for family in ("-4", "-6")
        )
        half = [("-4", number) for number in four - six] + [("-6", number) for number in six - four]
        run_batch(name, [f"{family} rule del {_rule(number)}" for family, number in half])
        return four & six

    def _drop_router(self, vpc_id: str) -> None:
        router = self._routers.pop(vpc_id)
        for service in router.services:
            service.close()
        for eni, _ in router.plugged.values():
            if eni_ns(eni.eni_id) in topology.namespaces():
                topology.drop_namespace(eni_ns(eni.eni_id))
            _quietly(vpc_ns(vpc_id), f"link del {link(eni.number)}")
        self._leave_behind(router)
        router.filter.close()
        os.close(router.netns)
        topology.drop_namespace(vpc_ns(vpc_id))

    def _caller(self, vpc_id: str, source: str) -> Machine | None:
        """The machine that has an address of the VPC."""
        if self.ir is None:
            return None
        address = ip_address(source)
        for fragment in self.ir.fragments.values():
            if not isinstance(fragment, Interface) or fragment.vpc_id != vpc_id or fragment.instance_id is None:
                continue
            if address in (fragment.ipv4 if address.version == 4 else fragment.ipv6):
                found = self.ir.fragments.get((Machine.__name__, fragment.instance_id))
                return found if isinstance(found, Machine) else None
        return None

    # ------------------------------------------------------------------ peer VPCs
    def _peers(self, wanted: dict[str, VpcSlice]) -> None:
        """The links of peering connections whose VPCs both have a namespace; without links, their routes lead nowhere."""
        asked: dict[str, list[nodes.Peering]] = {}
        for part in wanted.values():
            for way in part.peerings:
                asked.setdefault(way.peering_id, []).append(way)
        joined = {id: ways[0] for id, ways in asked.items() if len(ways) == 2}
        for router in self._routers.values():
            self._part(router, router.peers - joined.keys())
            if self._first and not router.fresh:
                self._part(router, self._left_peers(router, joined))
        for id, way in joined.items():
            pair = self._routers[way.vpc_id], self._routers[way.far_vpc_id]
            try:
                self._join(way, pair)
            except TopologyError as problem:
                log.error("the VPCs of %s are not joined: %s", id, problem)
                for router in pair:
                    self._part(router, {id})

    def _join(self, way: nodes.Peering, pair: tuple[Router, Router]) -> None:
        names = set(peer_links(way.peering_id))
        if all(names <= topology.links(router.netns) for router in pair):
            if all(way.peering_id in router.peers for router in pair):
                return
        else:  # new, or one end went with the namespace it was in
            for router in pair:
                self._part(router, {way.peering_id})
            far = vpc_ns(pair[1].vpc_id)
            run_batch(vpc_ns(pair[0].vpc_id), topology.peer_base(way.peering_id, far, same_region=way.same_region))
        for router in pair:
            run_batch(vpc_ns(router.vpc_id), topology.peer_up(way.peering_id))
            router.peers |= {way.peering_id}
            router.laid = None

    def _part(self, router: Router, gone: Collection[str]) -> None:
        """Take links away; the other end of each goes with it, and the routes through it."""
        there = topology.links(router.netns) if gone else set()
        for id in gone:
            for name in peer_links(id):
                if name in there:
                    _quietly(vpc_ns(router.vpc_id), f"link del {name}")
            for other in self._routers.values():
                if other is router or id in other.peers:
                    for routes in other.routes.values():
                        for name in peer_links(id):
                            routes.link_gone(name)
                    other.peers -= {id}
                    other.laid = None

    @staticmethod
    def _left_peers(router: Router, joined: Collection[str]) -> set[str]:
        """What of an earlier agent's links no connection has any more, by the part of its id that the links tell."""
        wanted = {name for id in joined for name in peer_links(id)}
        left = {name for name in topology.links(router.netns) if len(name) > 1 and name[0] in (PEER, RELAYED)}
        return {name[1:] for name in left - wanted}

    def _route(self, vpc_id: str, part: VpcSlice) -> None:
        """Addresses, policy rules and routes of a VPC."""
        router, name = self._routers[vpc_id], vpc_ns(vpc_id)
        addresses = topology.router_addresses(part.vpc, part.subnets)
        lines = [f"addr replace {address} dev lo" for address in sorted(addresses - router.addresses)]
        lines += [f"addr del {address} dev lo" for address in sorted(router.addresses - addresses)]
        numbers = {table.number for table in part.tables}
        numbers |= {table.number + RELAY for table in part.tables if topology.leads_to_peers(table)}
        for number in sorted(numbers - router.rules):
            lines += [f"{family} rule add {_rule(number)}" for family in ("-4", "-6")]
        run_batch(name, lines)
        self._drop_tables(router, router.rules - numbers)
        router.addresses, router.rules = addresses, numbers
        plugged = {id: eni for id, (eni, _) in router.plugged.items()}
        wanted = {"main": topology.main_routes(part.vpc, plugged.values())}
        for table in part.tables:
            wanted |= {
                str(kernel_table(number)): topology.table_routes(
                    table, plugged, gateway=part.edge is not None, peers=router.peers, relayed=number >= RELAY,
                    endpoints=part.endpoints,
                )
                for number in (table.number, table.number + RELAY)
                if number in numbers
            }  # fmt: skip
        for table_name in [*wanted, *(set(router.routes) - wanted.keys())]:
            held = router.routes.setdefault(table_name, Routes(name, table_name, set() if router.fresh else None))
            held.sync(wanted.get(table_name, set()))

    def _drop_tables(self, router: Router, gone: set[int]) -> None:
        """Tables that are no more; an agent that knows nothing finds them by their policy rules, so these go last."""
        name, tables = vpc_ns(router.vpc_id), [kernel_table(number) for number in sorted(gone)]
        both = [(family, table) for family in ("-4", "-6") for table in tables]
        run_batch(name, [f"{family} route flush table {table}" for family, table in both], may_fail=True)
        run_batch(name, [f"{family} rule del {_rule(number)}" for family in ("-4", "-6") for number in sorted(gone)])
        for table in tables:
            router.routes.pop(str(table), None)

    def _resolve(self, vpc_id: str, part: VpcSlice) -> None:
        """The names the VPC's resolver answers (DNS-01, DNS-02)."""
        router = self._routers[vpc_id]
        if not part.vpc.dns_support:
            router.zone, router.names = None, None
        elif part.names is not None and part.names is not router.names:
            router.zone, router.names = Zone(part.names), part.names

    # ------------------------------------------------------------------ interfaces
    def _place(self, eni: Interface, machines: Machines) -> str | None:
        """The namespace an interface belongs in; None for one of an instance that does not run."""
        if eni.instance_id is None:
            return eni_ns(eni.eni_id)
        return guest_ns(eni.instance_id) if eni.instance_id in machines else None

    def _unplug(self, vpc_id: str, part: VpcSlice, machines: Machines) -> None:
        """Links of interfaces that are gone or have moved."""
        router = self._routers[vpc_id]
        wanted = {eni.eni_id: eni for eni in part.interfaces}
        there = topology.namespaces()
        for eni_id, (eni, place) in list(router.plugged.items()):
            now = wanted.get(eni_id)
            moved = now is None or self._place(now, machines) != place or place not in there
            if moved or (now is not None and (now.number, now.mac) != (eni.number, eni.mac)):
                self._pull(router, eni)
                if place == eni_ns(eni_id) and place in there:
                    topology.drop_namespace(place)

    def _pull(self, router: Router, eni: Interface) -> None:
        """Take an interface's link away, and what went with it."""
        _quietly(vpc_ns(router.vpc_id), f"link del {link(eni.number)}")
        if router.dhcp6 is not None:
            router.dhcp6.leave(link(eni.number))
        for routes in router.routes.values():
            routes.link_gone(link(eni.number))
        self._forget_connections(router, eni)
        held = router.plugged.pop(eni.eni_id, None)
        router.cut -= {(held[1], device(eni))} if held else set()

    def _pull_lost(self, vpc_id: str) -> None:
        """A guest is root of its interface: it may have deleted its end, and with it ours."""
        router = self._routers[vpc_id]
        there = topology.links(router.netns)
        for eni, _ in list(router.plugged.values()):
            if link(eni.number) not in there:
                self._pull(router, eni)

    def _forget_connections(self, router: Router, eni: Interface) -> None:
        """The connections of an interface end with it: its number may be another's tomorrow."""
        router.filter.forget(eni.number)

    def _plug(self, vpc_id: str, part: VpcSlice, machines: Machines) -> None:
        router, name = self._routers[vpc_id], vpc_ns(vpc_id)
        subnets = {subnet.subnet_id: subnet for subnet in part.subnets}
        there = self._left_links(name, part) if self._first else set()
        for eni in part.interfaces:
            place = self._place(eni, machines)
            if place is None:
                continue
            known = link(eni.number) in there
            try:
                self._plug_or_readdress(router, eni, subnets[eni.subnet_id], place, known=known)
            except TopologyError as problem:
                if eni.instance_id is None:
                    raise
                self._plug_anew(router, eni, subnets[eni.subnet_id], place, problem)

    def _left_links(self, name: str, part: VpcSlice) -> set[str]:
        """Links an earlier agent left; those of interfaces that are no more are taken away, so that numbers are free."""
        there = {item["ifname"] for item in topology.listed(name, "link", "show")}
        wanted = {link(eni.number) for eni in part.interfaces}
        for stale in sorted(each for each in there - wanted if each[0] == "e" and each[1:].isdigit()):
            _quietly(name, f"link del {stale}")
        return there & wanted

    def _plug_or_readdress(self, router: Router, eni: Interface, subnet: Subnet, place: str, *, known: bool) -> None:
        held, name = router.plugged.get(eni.eni_id), vpc_ns(router.vpc_id)
        if held is None:
            self._plug_in(name, eni, subnet, place, known=known)
            leases.listen6(router, eni)
        elif (held[0].ipv4, held[0].ipv6) != (eni.ipv4, eni.ipv6):
            self._readdress(name, held[0], eni, subnet, place)
        router.plugged[eni.eni_id] = (eni, place)

    def _plug_anew(self, router: Router, eni: Interface, subnet: Subnet, place: str, problem: TopologyError) -> None:
        """The guest deleted, renamed or occupied its end: give it a new link. If it bars that too, it has none."""
        log.warning("%s of %s is plugged in anew: %s", eni.eni_id, eni.instance_id, problem)
        self._pull(router, eni)
        try:
            self._plug_or_readdress(router, eni, subnet, place, known=False)
        except TopologyError as again:
            log.warning("%s stays unplugged, by its guest's doing: %s", eni.eni_id, again)
            self._pull(router, eni)

    def _plug_in(self, name: str, eni: Interface, subnet: Subnet, place: str, *, known: bool) -> None:
        device = f"eth{eni.device_index or 0}"
        if place not in topology.namespaces():
            topology.make_namespace(place)
        ends = topology.listed(place, "link", "show") if known else []
        in_place = any((end["ifname"], end["address"]) == (device, eni.mac) for end in ends)
        if known and not in_place:  # the old link led to a place that is gone, or was another interface's
            _quietly(name, f"link del {link(eni.number)}")
        router, guest = topology.plug(eni, subnet, place, device)
        run_batch(name, router[1:] if known and in_place else router)
        run_batch(place, guest)

    def _readdress(self, name: str, old: Interface, new: Interface, subnet: Subnet, place: str) -> None:
        device = f"eth{new.device_index or 0}"
        gone = [*(set(old.ipv4) - set(new.ipv4)), *(set(old.ipv6) - set(new.ipv6))]
        run_batch(name, [*topology.neighbours(new), *(f"neigh del {a} dev {link(new.number)}" for a in gone)])
        width = {4: subnet.ipv4.prefixlen if subnet.ipv4 else 32, 6: 128}
        run_batch(place, topology.guest_side(new, subnet, device))
        for address in gone:
            _quietly(place, f"addr del {address}/{width[address.version]} dev {device}")

    # ------------------------------------------------------------------ counts
    def connections(self) -> dict[str, conntrack.Room]:
        """How full the connection table of each VPC is."""
        return {vpc_id: conntrack.room(router.netns) for vpc_id, router in list(self._routers.items())}

    def whole(self) -> bool:
        """Has every VPC its filter? An agent that just began has yet to take them over."""
        return not self._first

    def filters(self) -> dict[str, Filter]:
        """The filters of the VPCs."""
        return {vpc_id: router.filter for vpc_id, router in list(self._routers.items())}

    def left_behind(self) -> dict[tuple[str, Epoch], tuple[Sealed, Counts]]:
        """What was counted in VPCs that have no interface any more, and so no namespace."""
        return dict(self._left)

    def forget_left(self, vpc_id: str, epoch: Epoch) -> None:
        self._left.pop((vpc_id, epoch), None)

    def _leave_behind(self, router: Router) -> None:
        current = router.filter.counting
        try:
            router.filter.seal()
            for epoch, sealed in router.filter.sealed().items():
                ended = Sealed(sealed.end, last=sealed.last or epoch == current)
                self._left[router.vpc_id, epoch] = ended, router.filter.counted(epoch)
        except OSError as problem:  # whoever reads the counts misses the epoch and says so
            log.error("what was counted last in %s is lost: %s", router.vpc_id, problem)

    def _cut(self, router: Router, part: VpcSlice) -> None:
        """Where packets are counted, links take single packets, as the wire carries them."""
        counted = {eni.eni_id for eni in part.interfaces if eni.counted}
        wanted = {(place, device(eni)) for eni, place in router.plugged.values() if eni.eni_id in counted}
        if counted:
            wanted.add((vpc_ns(router.vpc_id), LOOP_OUT))
            if part.edge is not None and part.edge.gateway_id in self._edges:
                wanted.add((edge_ns(part.edge.gateway_id), EDGE_VPC))
            far = {way.peering_id: way.far_vpc_id for way in part.peerings if way.peering_id in router.peers}
            wanted |= {(vpc_ns(vpc_id), name) for id, vpc_id in far.items() for name in peer_links(id)}
            there = self._endpoints.ids()
            wanted |= {(endpoint_ns(e.endpoint_id), SERVICE) for e in part.endpoints if e.endpoint_id in there}
        for place, link_name in wanted - router.cut:
            _cut_link(place, link_name, cut=True)
        for place, link_name in router.cut - wanted:
            _cut_link(place, link_name, cut=False)
        router.cut = wanted

    def hold_to_packets(self) -> set[str]:
        """The interfaces whose guests let their links take larger pieces again; no longer they do."""
        found = set()
        for router in self._routers.values():
            for eni, place in list(router.plugged.values()):
                where = place, device(eni)
                if where in router.cut and not _is_cut(*where):
                    found.add(eni.eni_id)
                    _cut_link(*where, cut=True)
        return found

    # ------------------------------------------------------------------ guests
    def _stop_guests(self, machines: Machines) -> Generator[dict[str, Any], None, set[str]]:
        """Returns which guests run on."""
        running = self.guests.running() if machines or self._guests_left else {}
        for instance_id, guest in list(running.items()):
            wanted = machines.get(instance_id)
            if wanted is None or wanted.boots != guest.boots:
                self.guests.stop(instance_id)
                del running[instance_id]
                if wanted is None:
                    yield {"event": "stopped", "instance": instance_id}
        return set(running)

    def _start_guests(
        self, parts: dict[str, VpcSlice], machines: Machines, running: set[str]
    ) -> Generator[dict[str, Any], None, bool]:
        """Returns whether any was started; the links of every VPC that it has an interface in are laid anew."""
        started = False
        for instance_id, machine in machines.items():
            if instance_id in running:
                continue
            vpc = parts[machine.vpc_id].vpc
            try:
                resolver = str(vpc.ipv4[0].network_address + 2)
                self.guests.start(machine, resolver=resolver, domain=vpc.domain)
            except (OSError, ImageError) as problem:
                log.warning("%s does not start: %s", instance_id, problem)
                yield {"event": "failed", "instance": instance_id, "message": str(problem)}
            else:
                started = True
                self._lay_anew(instance_id)
        return started

    def _lay_anew(self, instance_id: str) -> None:
        """A guest was started: what was plugged into the one before, which ended by itself, went with it."""
        for vpc_id, router in self._routers.items():
            for eni, place in list(router.plugged.values()):
                if place == guest_ns(instance_id):
                    self._pull(router, eni)
            if any(eni.instance_id == instance_id for eni in self._slices.parts[vpc_id].interfaces):
                router.laid = None

    # ------------------------------------------------------------------ gateways and the internet
    def _internet_up(self, present: set[str]) -> None:
        if self._internet is not None:
            return
        if INTERNET_NS not in present:
            topology.make_namespace(INTERNET_NS)
        netns = topology.open_namespace(INTERNET_NS)  # an earlier agent may have died before all of this was done
        topology.write_sysctls(netns, topology.ROUTER_SYSCTLS)
        run_batch(INTERNET_NS, topology.internet_base())
        self._internet_netns, self._internet_filter = netns, Filter(netns, InternetTables)
        self._internet_filter.converge(())
        self._offer_apis(netns)
        self._internet = Routes(INTERNET_NS, "main", None if INTERNET_NS in present else set())
        self._hosts = {name for name in present if name.startswith("host-")}
        self._host_routes = self._known_host_routes()

    def _offer_apis(self, netns: int) -> None:
        """Listen where the AWS APIs are reached, and give the sockets to who answers there: nothing here reads them."""
        with linux.inside(netns):
            sockets = [listening(str(address)) for address in endpoints.SERVED_AT]
        try:
            self._announce(sockets, None)
        finally:
            for sock in sockets:
                sock.close()

    def _edges_down(self, wanted: dict[str, VpcSlice]) -> None:
        keep = {part.edge.gateway_id for part in wanted.values() if part.edge}
        for gateway_id in set(self._edges) - keep:
            held = self._edges.pop(gateway_id)
            held.filter.close()
            os.close(held.netns)
            topology.drop_namespace(edge_ns(gateway_id))  # its links go with it, and their routes with them
            if self._internet is not None:
                self._internet.link_gone(f"x{suffix(gateway_id)}")
            router = self._routers.get(held.edge.vpc_id)
            if router is not None:
                _quietly(vpc_ns(held.edge.vpc_id), f"link del {GATEWAY}")
                for routes in router.routes.values():
                    routes.link_gone(GATEWAY)

    def _edge_up(self, part: VpcSlice) -> None:
        edge, vpc = part.edge, part.vpc
        assert edge is not None
        held = self._edges.get(edge.gateway_id)
        if held is None:
            held = self._new_edge(edge, vpc)
        held.filter.sync((edge, vpc))
        held.routes.sync(topology.edge_routes(edge, vpc))
        held.edge, held.outside = edge, topology.internet_routes(edge)

    def _new_edge(self, edge: Edge, vpc: Vpc) -> EdgeState:
        name = edge_ns(edge.gateway_id)
        fresh = name not in topology.namespaces()
        if not fresh and not topology.edge_is_whole(edge.gateway_id, vpc_ns(vpc.vpc_id)):
            log.warning("%s was left half made: made anew", name)
            topology.drop_namespace(name)
            _quietly(vpc_ns(vpc.vpc_id), f"link del {GATEWAY}")
            fresh = True
        if fresh:
            topology.make_namespace(name)
        netns = topology.open_namespace(name)
        routes = Routes(name, "main", set() if fresh else None)
        state = EdgeState(edge, netns, Filter(netns, EdgeTables), routes, topology.internet_routes(edge))
        if fresh:
            topology.write_sysctls(netns, topology.ROUTER_SYSCTLS | {"net/ipv4/conf/default/proxy_arp": "0"})
            state.filter.sync((edge, vpc))  # rules before links
            inside, itself, outside = topology.edge_base(edge.gateway_id)
            run_batch(vpc_ns(vpc.vpc_id), inside)
            run_batch(name, itself)
            run_batch(INTERNET_NS, outside)
        else:
            run_batch(vpc_ns(vpc.vpc_id), [topology.gateway_up()])
        self._edges[edge.gateway_id] = state
        return state

    def _sync_internet(self) -> None:
        assert self._internet is not None
        routes = set[str]().union(*(held.outside for held in self._edges.values()))
        self._internet.sync(routes | self._host_routes | topology.NOWHERE_ELSE)

    def _known_host_routes(self) -> set[str]:
        """Routes to the outside hosts an earlier agent made."""
        out = set()
        for item in (
            *topology.listed(INTERNET_NS, "-4", "route", "show"),
            *topology.listed(INTERNET_NS, "-6", "route", "show"),
        ):
            device = str(item.get("dev", ""))
            if device.startswith("h") and item.get("protocol") != "kernel" and item["dst"] != "default":
                dst = item["dst"] if "/" in item["dst"] else item["dst"] + ("/128" if ":" in item["dst"] else "/32")
                out.add(f"{dst} dev {device}")
        return out

    def outside_host(self, address: Address) -> str:
        """The namespace of an outside host, made on demand. ValueError for an address a VPC has."""
        name = topology.host_ns(address)
        with self._hosts_lock:
            if name in self._hosts:
                return name
            if address in endpoints.SERVED_AT:
                raise ValueError(f"{address} is where instances reach the AWS APIs: it is no host")
            if any(address == public for held in self._edges.values() for public, _ in held.edge.nat) or any(
                address in block
                for held in self._edges.values()
                for block in held.edge.ipv6
                if block.version == address.version
            ):
                raise ValueError(f"{address} belongs to a VPC")
            topology.make_namespace(name)
            netns = topology.open_namespace(name)
            topology.write_sysctls(netns, topology.GUEST_SYSCTLS)
            os.close(netns)
            internet, host = topology.host_commands(address)
            run_batch(INTERNET_NS, internet)
            run_batch(name, host)
            self._hosts.add(name)
            self._host_routes |= {f"{address}/{32 if address.version == 4 else 128} dev h{name.removeprefix('host-')}"}
        return name

    # ------------------------------------------------------------------ for verification
    def locations(self) -> Iterator[Location]:
        """Every namespace that decides about packets, and what it should hold. While nothing else is being applied."""
        for router in self._routers.values():
            part = router.slice
            if part is None:
                continue
            plugged = {id: eni for id, (eni, _) in router.plugged.items()}
            key = (id(part), router.peers, tuple(map(id, plugged.values())))
            if router.place is None or router.place[0] != key:
                place = wanted.vpc(
                    (), part.vpc, part.subnets, part.tables, plugged, part.interfaces, part.endpoints,
                    gateway=part.edge is not None, peers=router.peers,
                )  # fmt: skip
                router.place = key, place, (part, plugged)
            place = router.place[1]
            fragments = tuple(self._slices.filtered[router.vpc_id].values())
            yield Location(place, vpc_ns(router.vpc_id), router.netns, router.filter, fragments, frozenset(plugged))
        for held in self._edges.values():
            part = self._routers[held.edge.vpc_id].slice
            if part is not None:
                place = wanted.edge((), held.edge, part.vpc)
                name = edge_ns(held.edge.gateway_id)
                yield Location(place, name, held.netns, held.filter, (held.edge, part.vpc))
        yield from self._endpoints.locations()
        if self._internet is not None and self._internet_filter is not None:
            with self._hosts_lock:
                edges = [held.edge for held in self._edges.values()]
                hosts = self._host_addresses()
            place, netns, rules = wanted.internet((), edges, hosts), self._internet_netns, self._internet_filter
            yield Location(place, INTERNET_NS, netns, rules, tuple(edges), frozenset(map(str, hosts.values())))

    def _host_addresses(self) -> dict[str, Address]:
        """Link → address of the outside hosts."""
        words = (route.split() for route in self._host_routes)
        return {parts[-1]: ip_address(parts[0].partition("/")[0]) for parts in words}

    def lay_again(self, component: str) -> None:
        """Links that went, whoever took them, and what leads through them. TopologyError when they cannot be laid."""
        for held in self._edges.values():
            if component in (held.edge.gateway_id, held.edge.vpc_id, "internet"):
                self._lay_edge(held)
        component = self._endpoints.vpc_of(component) or component
        router = self._routers.get(component)
        if router is None or router.slice is None:
            return
        if not {LOOP_OUT, LOOP_IN} <= topology.links(router.netns):
            _quietly(vpc_ns(component), f"link del {LOOP_OUT}")
            _quietly(vpc_ns(component), f"link del {LOOP_IN}")
            run_batch(vpc_ns(component), list(topology.loop()))
        self._pull_lost(component)
        for name in self._endpoints.pull_lost(component):
            for routes in router.routes.values():
                routes.link_gone(name)
        router.laid = None
        standing = {id: held.slice for id, held in self._routers.items() if held.slice is not None}
        self._peers(standing)
        problems = [
            problem for id, part in standing.items() if (problem := self._connect(id, part, self._slices.machines))
        ]
        if problems:
            raise TopologyError("; ".join(problems))

    def _lay_edge(self, held: EdgeState) -> None:
        """The links of a gateway: an end takes the other with it."""
        gateway_id, vpc_id = held.edge.gateway_id, held.edge.vpc_id
        name, there = edge_ns(gateway_id), topology.links(held.netns)
        router = self._routers.get(vpc_id)
        if router is not None and not (GATEWAY in topology.links(router.netns) and EDGE_VPC in there):
            _quietly(vpc_ns(vpc_id), f"link del {GATEWAY}")
            _quietly(name, f"link del {EDGE_VPC}")
            inside, itself = topology.edge_inward(gateway_id)
            run_batch(vpc_ns(vpc_id), inside)
            run_batch(name, itself)
        outside = f"x{suffix(gateway_id)}"
        if not (EDGE_INTERNET in there and outside in topology.links(self._internet_netns)):
            _quietly(name, f"link del {EDGE_INTERNET}")
            _quietly(INTERNET_NS, f"link del {outside}")
            itself, far = topology.edge_outward(gateway_id)
            run_batch(name, itself)
            run_batch(INTERNET_NS, far)

    # ------------------------------------------------------------------ for probes and exec
    def place_of(self, eni_id: str) -> str:
        """The namespace an interface is plugged into. ValueError when it is not."""
        for router in self._routers.values():
            held = router.plugged.get(eni_id)
            if held is not None:
                return held[1]
        raise ValueError(f"{eni_id} is not plugged in: does its instance run?")


def _rule(number: int) -> str:
    """The policy rule that leads to a route table."""
    preference, mark, mask = policy_rule(number)
    return f"pref {preference} fwmark {mark:#x}/{mask:#x} lookup {kernel_table(number)}"


def _stands(router: Router, part: VpcSlice, machines: Machines, present: set[str]) -> bool:
    """Do links, routes and services stand as they were brought to, by these very objects?"""
    laid = router.laid
    if laid is None or laid[0] is not part or laid[1] is not machines:
        return False
    return all(place in present for _, place in router.plugged.values())


def device(eni: Interface) -> str:
    """An interface's name where it is plugged in."""
    return f"eth{eni.device_index or 0}"


def _cut_link(place: str, link_name: str, *, cut: bool) -> None:
    """A guest may have deleted its link, or its namespace may be gone."""
    try:
        with topology.opened(place) as netns:
            offloads.cut_to_packets(netns, link_name, cut=cut)
    except OSError as problem:
        log.debug("%s in %s: %s", link_name, place, problem)


def _is_cut(place: str, link_name: str) -> bool:
    try:
        with topology.opened(place) as netns:
            return offloads.cuts_to_packets(netns, link_name)
    except OSError:  # a link that is not there hands on nothing
        return True


def _quietly(netns: str, line: str) -> None:
    """A command whose target may be gone already."""
    try:
        run_batch(netns, [line])
    except TopologyError as problem:
        log.debug("%s", problem)
