"""Gateway endpoints on a host: a namespace for each, in which the sockets of its service listen (docs/adr/0015).

A packet gets there by its VPC's route table alone, so the socket it arrives at tells the endpoint, whatever the packet says. The
API process holds the sockets; what it holds of an endpoint that is gone leads nowhere, as the link is gone.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ringfence.dataplane import linux, topology
from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import ServiceTables
from ringfence.dataplane.plan import endpoint_link, endpoint_ns, vpc_ns
from ringfence.dataplane.router import quietly
from ringfence.dataplane.slices import VpcSlice
from ringfence.dataplane.topology import Routes, run_batch
from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.wanted import Location
from ringfence.model import endpoints
from ringfence.policy.ir import Endpoint, Interface

log = logging.getLogger("ringfence.endpoints")
BACKLOG = 128
ANYWHERE = "0.0.0.0"  # noqa: S104  in a namespace that has no address but the service's
#: gives the listening sockets of an endpoint away
Announce = Callable[[Sequence[socket.socket], str | None], None]


@dataclass
class Held:
    """One endpoint's namespace."""

    endpoint: Endpoint
    interfaces: tuple[Interface, ...]
    netns: int
    filter: Filter
    routes: Routes


class GatewayEndpoints:
    """Those of all VPCs of a host."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._held: dict[str, Held] = {}

    def ids(self) -> list[str]:
        return sorted(self._held)

    def down(self, parts: Iterable[VpcSlice]) -> list[tuple[str, str]]:
        """Take away those that are not wanted any more; (VPC, link) of each, whose routes went with it."""
        keep = {each.endpoint_id: each for part in parts for each in part.endpoints}
        gone = [id for id, held in self._held.items() if keep.get(id) != held.endpoint]
        return [self._drop(id) for id in gone]

    def _drop(self, endpoint_id: str) -> tuple[str, str]:
        held = self._held.pop(endpoint_id)
        held.filter.close()
        os.close(held.netns)
        vpc_id, name = held.endpoint.vpc_id, endpoint_link(endpoint_id)
        if vpc_ns(vpc_id) in topology.namespaces():
            quietly(vpc_ns(vpc_id), f"link del {name}")  # sockets may keep the namespace alive: nothing gets there
        topology.drop_namespace(endpoint_ns(endpoint_id))
        return vpc_id, name

    def up(self, part: VpcSlice) -> None:
        """Those of one VPC, and the way back to its interfaces."""
        for endpoint in part.endpoints:
            held = self._held.get(endpoint.endpoint_id)
            if held is None:
                held = self._make(endpoint)
            held.routes.sync(topology.endpoint_routes(part.interfaces))
            held.interfaces = part.interfaces

    def vpc_of(self, endpoint_id: str) -> str | None:
        held = self._held.get(endpoint_id)
        return None if held is None else held.endpoint.vpc_id

    def pull_lost(self, vpc_id: str) -> list[str]:
        """Take away those of a VPC that somebody took a link from; the names of the links, whose routes went with them."""
        lost = [
            id for id, held in self._held.items()
            if held.endpoint.vpc_id == vpc_id and not topology.endpoint_is_whole(id, vpc_ns(vpc_id))
        ]  # fmt: skip
        return [self._drop(id)[1] for id in lost]

    def _make(self, endpoint: Endpoint) -> Held:
        name, router = endpoint_ns(endpoint.endpoint_id), vpc_ns(endpoint.vpc_id)
        fresh = name not in topology.namespaces()
        if not fresh and not topology.endpoint_is_whole(endpoint.endpoint_id, router):
            log.warning("%s was left half made: made anew", name)
            topology.drop_namespace(name)
            fresh = True
        if fresh:
            quietly(router, f"link del {endpoint_link(endpoint.endpoint_id)}")
            topology.make_namespace(name)
        netns = topology.open_namespace(name)
        held = Held(endpoint, (), netns, Filter(netns, ServiceTables), Routes(name, "main", set() if fresh else None))
        held.filter.converge(())  # rules before links
        if fresh:
            topology.write_sysctls(netns, topology.SERVICE_SYSCTLS)
            inside, itself = topology.endpoint_base(endpoint)
            run_batch(router, inside)
            run_batch(name, itself)
        self._offer(endpoint.endpoint_id, netns)
        self._held[endpoint.endpoint_id] = held
        return held

    def _offer(self, endpoint_id: str, netns: int) -> None:
        with linux.inside(netns):
            sock = listening(ANYWHERE)
        try:
            self._announce([sock], endpoint_id)
        finally:
            sock.close()

    def locations(self) -> Iterator[Location]:
        """For verification."""
        for id, held in self._held.items():
            place = wanted.endpoint((), held.endpoint, held.interfaces)
            yield Location(place, endpoint_ns(id), held.netns, held.filter, (held.endpoint, *held.interfaces))


def listening(address: str) -> socket.socket:
    """A socket at an API's address. An earlier agent's may still be open in the process that answers: they share it."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, endpoints.PORT))
    sock.listen(BACKLOG)
    return sock
