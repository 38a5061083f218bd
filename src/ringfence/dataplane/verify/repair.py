"""Making it right again: the tables from the desired state, the paths by what differs; closed meanwhile where that is safer.

A namespace is closed by a table of its own whose base chain drops everything that is forwarded (a gateway endpoint's: also what is
heard). It does not depend on the state of what is being repaired, and is taken away only when nothing that could let a packet through
is wrong any more.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator

from ringfence.dataplane import topology
from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.netlink import Netlink, NetlinkError
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, NAME
from ringfence.dataplane.nftables.wire import CREATE, Message, be32, nest, text
from ringfence.dataplane.verify.compare import SHUT_TABLE, unwanted_routes
from ringfence.dataplane.verify.rtnetlink import Paths, Route
from ringfence.dataplane.verify.snapshot import Snapshot
from ringfence.dataplane.verify.wanted import Location, Place

log = logging.getLogger("ringfence.verify")
_FIRST = -2_000_000_000


def shut(netlink: Netlink, place: Place) -> None:
    """Nothing is forwarded from now on; nor, where nothing is forwarded anyway, heard. Raises NetlinkError."""
    family = FAMILY_NUMBERS["inet"]
    messages = [Message(nl.SUBSYSTEM << 8 | nl.NEWTABLE, CREATE, family, text(1, SHUT_TABLE))]
    for name in place.entrances:
        hook = nest(4, be32(1, nl.HOOKS[name]), wire.attr(2, struct.pack(">i", _FIRST)))
        body = text(1, SHUT_TABLE) + text(3, f"shut-{name}") + hook + be32(5, 0) + text(7, "filter")
        messages.append(Message(nl.SUBSYSTEM << 8 | nl.NEWCHAIN, CREATE, family, body))
    netlink.transaction(messages)


def is_shut(found: Snapshot) -> bool:
    return (FAMILY_NUMBERS["inet"], SHUT_TABLE) in found.tables


def open_again(netlink: Netlink) -> None:
    """Packets are forwarded as the rules say. Raises NetlinkError."""
    netlink.transaction([_away(FAMILY_NUMBERS["inet"], SHUT_TABLE)])


def _away(family: int, name: str) -> Message:
    return Message(nl.SUBSYSTEM << 8 | nl.DELTABLE, 0, family, text(1, name))


def tables(location: Location, netlink: Netlink, found: Snapshot, *, replace: bool) -> None:
    """Tables of others go: in a namespace that Ringfence made there is nobody else. Ours become what they should be.

    Raises NetlinkError.
    """
    ours = {(FAMILY_NUMBERS[table.family], NAME) for table in location.filter.tables()}
    ours.add((FAMILY_NUMBERS["inet"], SHUT_TABLE))
    for family, name in found.tables.keys() - ours:
        try:
            netlink.transaction([_away(family, name)])
        except NetlinkError as problem:  # it went by itself, or belongs to a process that holds it
            log.warning("table %s of family %d stays: %s", name, family, problem)
    location.filter.restore(replace=replace)


def paths(location: Location, found: Paths) -> None:
    """Routes, policy rules, neighbours, addresses, links that are down, settings. TopologyError when the kernel refuses."""
    topology.run_batch(location.name, _removals(location.place, found), may_fail=True)
    topology.run_batch(location.name, _additions(location.place, found))
    topology.write_sysctls(location.namespace, dict(location.place.settings))


def _removals(place: Place, found: Paths) -> Iterator[str]:
    for route in unwanted_routes(place, found):
        yield f"-{route.version} route del {_words(route)}"
    for rule in frozenset(found.rules) - place.rules:
        mark = f"fwmark {rule.mark:#x}/{rule.mask:#x} " if rule.mask else ""
        yield f"-{rule.version} rule del pref {rule.priority} {mark}lookup {rule.table}"
    asked = {(each.address, each.link) for each in place.neighbours}
    for each in found.neighbours:
        if each.proxy:
            yield f"neigh del proxy {each.address} dev {each.link}"
        elif (each.address, each.link) not in asked:
            yield f"neigh del {each.address} dev {each.link}"
    for name, address in found.addresses - place.addresses:
        if not address.startswith("fe80:") and (name, address) not in (("lo", "127.0.0.1/8"), ("lo", "::1/128")):
            yield f"addr del {address} dev {name}"


def _additions(place: Place, found: Paths) -> Iterator[str]:
    for name in sorted(place.links & found.links.keys()):
        if not found.links[name]:
            yield f"link set {name} up"
    for name, group in sorted(place.groups.items()):
        if found.groups.get(name, group) != group:
            yield f"link set {name} group {group}"
    for name, address in sorted(place.addresses - found.addresses):
        if name in found.links:
            yield f"addr replace {address} dev {name}" + (" nodad" if ":" in address else "")
    down = {name for name, up in found.links.items() if not up}
    for each in sorted(place.neighbours - set(found.neighbours), key=str):
        if each.link in found.links:
            yield f"neigh replace {each.address} lladdr {each.mac} dev {each.link} nud permanent"
    have = {(r.version, r.table, r.kind, r.destination, r.metric, r.via) for r in found.routes if r.link not in down}
    for route in sorted(place.routes, key=str):
        there = (route.version, route.table, route.kind, route.destination, route.metric, route.via) in have
        if (not there or route.link) and route not in found.routes and (not route.link or route.link in found.links):
            yield f"-{route.version} route replace {_words(route)}"
    for rule in sorted(place.rules - frozenset(found.rules)):
        mark = f"fwmark {rule.mark:#x}/{rule.mask:#x} " if rule.mask else ""
        yield f"-{rule.version} rule add pref {rule.priority} {mark}lookup {rule.table}"


def _words(route: Route) -> str:
    kind = "" if route.kind == "unicast" else route.kind + " "
    via = f" via {route.via}" if route.via else ""
    via += " onlink" if route.via and not (route.version == 6 and route.via.is_link_local) else ""
    out = f" dev {route.link}" if route.link else ""
    metric = f" metric {route.metric}" if route.metric else ""
    return f"{kind}{route.destination}{out}{via}{metric} table {route.table}"
