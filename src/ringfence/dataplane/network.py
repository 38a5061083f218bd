"""From IR to the kernel: namespaces, links, routes, rules and guests, in an order that never opens what is closed."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from ipaddress import ip_address
from typing import Any

from ringfence.dataplane import cuts, leases, linux, peers, plugging, topology
from ringfence.dataplane.gateway_endpoints import Announce, GatewayEndpoints
from ringfence.dataplane.guests import Guests
from ringfence.dataplane.nftables import conntrack
from ringfence.dataplane.nftables.apply import Filter, Sealed
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.counting import Epoch
from ringfence.dataplane.nftables.counts import Counts
from ringfence.dataplane.outside import Outside
from ringfence.dataplane.plan import (
    INTERNET_NS,
    LOOP_IN,
    LOOP_OUT,
    OWN_SOURCE,
    RELAY,
    TABLE_BITS,
    edge_ns,
    endpoint_ns,
    eni_ns,
    guest_ns,
    kernel_table,
    link,
    policy_rule,
    vpc_ns,
)
from ringfence.dataplane.router import Machines, Router, quietly
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
from ringfence.dataplane.verify.wanted import Location
from ringfence.model.net import Address
from ringfence.policy.ir import Interface, Ir, Machine

log = logging.getLogger("ringfence.network")


class Network:
    """The whole data plane of a host."""

    def __init__(
        self, guests: Guests, roles: Roles = lambda _instance, _version: {},
        announce: Announce = lambda _sockets, _endpoint: None, teller: cuts.Teller | None = None,
    ) -> None:  # fmt: skip
        """`teller`: the program that tells the segments of pieces, where it could be loaded (docs/adr/0016)."""
        self.guests = guests
        self._teller = teller
        self._roles = roles
        self._routers: dict[str, Router] = {}
        self._outside = Outside(announce)
        self._endpoints = GatewayEndpoints(announce)
        self._tokens = Tokens()
        self._slices = Slices()
        self._guests_left = True  # an earlier agent's
        self._told: list[str] | None = None  # the gateway endpoints that the API process knows of
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
        self._outside.up(present)
        running = yield from self._stop_guests(machines)
        for vpc_id in set(self._routers) - wanted.keys():
            self._drop_router(vpc_id)
        for vpc_id, part in wanted.items():
            router = self._router(vpc_id, present)
            if not _stands(router, part, machines, present):
                router.laid = None
                plugging.unplug(router, part, machines)
        self._outside.edges_down(wanted, self._routers)
        for vpc_id, link_name in self._endpoints.down(wanted.values()):
            if vpc_id in self._routers:
                self._routers[vpc_id].forget_link(link_name)
        self.ir = ir
        for vpc_id, part in wanted.items():
            self._cut(self._routers[vpc_id], part)
            self._routers[vpc_id].filter.follow(self._slices.filtered[vpc_id])
        peers.join(self._routers, wanted, first=self._first)
        for vpc_id, part in wanted.items():
            if self._routers[vpc_id].laid is None:  # links to peers are there, and no route leads through them yet
                self._cut(self._routers[vpc_id], part)
        if (yield from self._start_guests(wanted, machines, running)):
            running = self.guests.running_ids()
        failures = [text for vpc_id, part in wanted.items() if (text := self._connect(vpc_id, part, machines))]
        self._outside.sync()
        for instance_id in machines:
            self.guests.go(instance_id)
        if self._first:
            self._sweep(wanted, machines)
            self._first = False
        if (there := self._endpoints.ids()) != self._told:
            yield {"event": "endpoints", "there": there}
            self._told = there  # only now: it has been said
        self._guests_left = bool(machines)
        yield {"event": "segments", "told": self._teller is not None and cuts.all_told(self._routers.values())}
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
                plugging.pull_lost(self._routers[vpc_id])
                self._lay(vpc_id, part, machines)
        except TopologyError as problem:
            return str(problem)
        return ""

    def _lay(self, vpc_id: str, part: VpcSlice, machines: Machines) -> None:
        router = self._routers[vpc_id]
        plugging.plug(router, part, machines, first=self._first)
        if part.edge is not None:
            self._outside.edge_up(part)
        self._endpoints.up(part)
        self._cut(router, part)
        self._route(vpc_id, part)
        self._resolve(vpc_id, part)
        router.slice, router.laid = part, (part, machines)

    def _sweep(self, wanted: dict[str, VpcSlice], machines: Machines) -> None:
        """What an earlier agent left and nobody wants."""
        keep = {vpc_ns(id) for id in wanted} | {INTERNET_NS} | {guest_ns(id) for id in machines} | self._outside.hosts
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
        topology.write_sysctls(
            netns, topology.ROUTER_SYSCTLS
        )  # of one taken over, too: another version may have made it
        if fresh:
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
            quietly(vpc_ns(vpc_id), f"link del {link(eni.number)}")
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
        cuts.cut(router, part, self._outside.edges, self._endpoints.ids(), self._teller)

    def hold_to_packets(self) -> set[str]:
        """The interfaces whose packets may not have been counted one by one, as by their guests' doing; now they are."""
        return cuts.hold_to_packets(list(self._routers.values()), self._teller)

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
                    plugging.pull(router, eni)
            if any(eni.instance_id == instance_id for eni in self._slices.parts[vpc_id].interfaces):
                router.laid = None

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
        yield from self._outside.locations(self._routers)
        yield from self._endpoints.locations()

    def lay_again(self, component: str) -> None:
        """Links that went, whoever took them, and what leads through them. TopologyError when they cannot be laid."""
        self._outside.lay_again(component, self._routers)
        component = self._endpoints.vpc_of(component) or component
        router = self._routers.get(component)
        if router is None or router.slice is None:
            return
        if not {LOOP_OUT, LOOP_IN} <= topology.links(router.netns):
            quietly(vpc_ns(component), f"link del {LOOP_OUT}")
            quietly(vpc_ns(component), f"link del {LOOP_IN}")
            run_batch(vpc_ns(component), list(topology.loop()))
        plugging.pull_lost(router)
        for name in self._endpoints.pull_lost(component):
            router.forget_link(name)
        router.laid = None
        standing = {id: held.slice for id, held in self._routers.items() if held.slice is not None}
        peers.join(self._routers, standing, first=self._first)
        problems = [
            problem for id, part in standing.items() if (problem := self._connect(id, part, self._slices.machines))
        ]
        if problems:
            raise TopologyError("; ".join(problems))

    # ------------------------------------------------------------------ for probes and exec
    def outside_host(self, address: Address) -> str:
        """The namespace of an outside host, made on demand. ValueError for an address a VPC has."""
        return self._outside.host(address)

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
