"""What is known of one VPC's namespace."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.services.advertise import Advertiser
from ringfence.dataplane.services.dhcp import DhcpServer
from ringfence.dataplane.services.dhcp6 import Dhcp6Server
from ringfence.dataplane.services.dns import DnsServer, Zone
from ringfence.dataplane.services.imds import ImdsServer
from ringfence.dataplane.services.ntp import NtpServer
from ringfence.dataplane.slices import VpcSlice
from ringfence.dataplane.topology import Routes, TopologyError, run_batch
from ringfence.dataplane.verify.wanted import Place
from ringfence.policy import ir as nodes
from ringfence.policy.ir import Interface, Machine

log = logging.getLogger("ringfence.network")
Machines = dict[str, Machine]


@dataclass(frozen=True, slots=True)
class Entrance:
    """The router's end of a link. `told`: there, pieces tell their segments. `eni`: the interface; None: everybody's."""

    link: str
    eni: str | None
    told: bool = False


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
    cut: dict[tuple[str, str], Entrance] = field(
        default_factory=dict
    )  # (namespace, link) whose packets are counted behind it
    loose: set[str] = field(default_factory=set)  # interfaces whose packets may not have been counted one by one
    slice: VpcSlice | None = None
    laid: tuple[VpcSlice, Machines] | None = None  # what links and routes were brought to; None: they may be anything
    #: what verification compares with, for what it was made of, which is kept so that no other object gets its identity
    place: tuple[object, Place, object] | None = None
    zone: Zone | None = None
    names: nodes.Names | None = None
    peers: frozenset[str] = frozenset()  # connections that have their links
    services: tuple[DnsServer | ImdsServer | DhcpServer | Dhcp6Server | Advertiser | NtpServer, ...] = ()
    dhcp6: Dhcp6Server | None = None

    def forget_link(self, name: str) -> None:
        """A link went, and with it the routes that led through it."""
        for routes in self.routes.values():
            routes.link_gone(name)


def device(eni: Interface) -> str:
    """An interface's name where it is plugged in."""
    return f"eth{eni.device_index or 0}"


def quietly(netns: str, line: str) -> None:
    """A command whose target may be gone already."""
    try:
        run_batch(netns, [line])
    except TopologyError as problem:
        log.debug("%s", problem)
