"""Links whose packets flow logs count: they take single packets only, or pieces that tell their segments (docs/adr/0016).

Where the API process could load the program of segments.py, it is attached to the router's end of these links, and TCP stays
whole. Where it could not, or it does not stay attached, they are cut to packets as they enter the link.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from ringfence.dataplane import classifiers, offloads, segments, topology
from ringfence.dataplane.offloads import Cut
from ringfence.dataplane.plan import (
    EDGE_VPC,
    GATEWAY,
    LOOP_IN,
    LOOP_OUT,
    SERVICE,
    edge_ns,
    endpoint_link,
    endpoint_ns,
    link,
    peer_links,
    vpc_ns,
)
from ringfence.dataplane.router import Entrance, Router, device
from ringfence.dataplane.slices import VpcSlice

log = logging.getLogger("ringfence.network")

Where = tuple[str, str]  # namespace and link that packets enter
Attached = dict[str, list[bytes]]  # entrance → what the kernel calls the programs there


@dataclass(frozen=True, slots=True)
class Teller:
    """The loaded program: its descriptor, and what the kernel calls it by its instructions."""

    program: int
    tag: bytes


def teller_of(program: int) -> Teller:
    """OSError when the descriptor is none of a program."""
    os.set_inheritable(program, False)
    return Teller(program, classifiers.tag_of(program))


def cut(
    router: Router, part: VpcSlice, edges: Collection[str], endpoints: Collection[str], teller: Teller | None
) -> None:
    """Where packets are counted, links take single packets, as the wire carries them, or pieces that tell.

    `edges`, `endpoints`: the gateways and the gateway endpoints that have their namespaces.
    """
    wanted = _wanted(router, part, edges, endpoints)
    for where, entrance in wanted.items():
        held = router.cut.get(where)
        if held is None:
            router.cut[where] = _set(router, where, entrance, teller)
        elif router.laid is None and held.eni is None and not _holds(where, held, teller, _attached(router, [held])):
            router.loose |= _counted(part)  # another link than before, laid anew
            router.cut[where] = _set(router, where, entrance, teller)
    for where in router.cut.keys() - wanted.keys():
        _release(router, where, router.cut.pop(where))


def _counted(part: VpcSlice) -> set[str]:
    return {eni.eni_id for eni in part.interfaces if eni.counted}


def _wanted(
    router: Router, part: VpcSlice, edges: Collection[str], endpoints: Collection[str]
) -> dict[Where, Entrance]:
    counted = _counted(part)
    wanted = {
        (place, device(eni)): Entrance(link(eni.number), eni.eni_id)
        for eni, place in router.plugged.values()
        if eni.eni_id in counted
    }
    if not counted:
        return {}
    wanted[vpc_ns(router.vpc_id), LOOP_OUT] = Entrance(LOOP_IN, None)
    if part.edge is not None and part.edge.gateway_id in edges:
        wanted[edge_ns(part.edge.gateway_id), EDGE_VPC] = Entrance(GATEWAY, None)
    far = {way.peering_id: way.far_vpc_id for way in part.peerings if way.peering_id in router.peers}
    wanted |= {(vpc_ns(vpc_id), name): Entrance(name, None) for id, vpc_id in far.items() for name in peer_links(id)}
    for each in part.endpoints:
        if each.endpoint_id in endpoints:
            wanted[endpoint_ns(each.endpoint_id), SERVICE] = Entrance(endpoint_link(each.endpoint_id), None)
    return wanted


def hold_to_packets(routers: Iterable[Router], teller: Teller | None) -> set[str]:
    """The interfaces whose packets may have come in pieces that nobody told, as by their guests' doing; no longer they do."""
    found = set[str]()
    for router in routers:
        attached = _attached(router, router.cut.values())
        for where, entrance in list(router.cut.items()):
            if not _holds(where, entrance, teller, attached):
                log.warning("%s in %s is held to packets again", where[1], where[0])
                everybody = {held.eni for held in router.cut.values() if held.eni is not None}
                found |= everybody if entrance.eni is None else {entrance.eni}
                router.cut[where] = _set(router, where, entrance, teller)
        found |= router.loose
        router.loose.clear()
    return found


def all_told(routers: Iterable[Router]) -> bool:
    """Do pieces tell at all links whose packets are counted?"""
    return all(entrance.told for router in routers for entrance in list(router.cut.values()))


def _set(router: Router, where: Where, entrance: Entrance, teller: Teller | None) -> Entrance:
    """Have pieces tell before the link takes them; have it cut them all before they no longer do."""
    told = teller is not None and _told(router, where, entrance, teller)
    _cut_link(where, Cut.UNTOLD if told else Cut.ALL)
    if not told:
        _untell(router, entrance)
    return replace(entrance, told=told)


def _release(router: Router, where: Where, entrance: Entrance) -> None:
    _cut_link(where, Cut.NOTHING)
    if entrance.told:
        _untell(router, entrance)


def _holds(where: Where, entrance: Entrance, teller: Teller | None, attached: Attached) -> bool:
    """Does the link cut what it should, and do pieces tell where they should?"""
    if not _is_cut(where, Cut.UNTOLD if entrance.told else Cut.ALL):
        return False
    if not entrance.told:
        return True
    return (teller is not None and attached.get(entrance.link) == [teller.tag]) or not _is_there(where)


def _attached(router: Router, entrances: Iterable[Entrance]) -> Attached:
    """The programs at these entrances, as far as they should have any, and are there."""
    asked = [entrance.link for entrance in entrances if entrance.told]
    found: Attached = {}
    if not asked:
        return found
    try:
        with classifiers.links(router.netns) as links:
            for name in asked:
                with suppress(OSError):
                    found[name] = links.attached(name)
    except OSError as problem:
        log.warning("what is attached to the links of %s cannot be listed: %s", router.vpc_id, problem)
    return found


def _told(router: Router, where: Where, entrance: Entrance, teller: Teller) -> bool:
    """The program, and nothing else, looks at what enters the router here."""
    try:
        with classifiers.links(router.netns) as links:
            if links.attached(entrance.link) == [teller.tag]:
                return True
            links.attach(entrance.link, teller.program, segments.NAME)  # in place of another version's
            if links.attached(entrance.link) == [teller.tag]:
                return True
            _cut_link(where, Cut.ALL)
            links.detach(entrance.link)  # what else looks there is not ours
            links.attach(entrance.link, teller.program, segments.NAME)
            return links.attached(entrance.link) == [teller.tag]
    except OSError as problem:
        log.warning("pieces do not tell their segments at %s, so they are cut: %s", entrance.link, problem)
        return False


def _untell(router: Router, entrance: Entrance) -> None:
    try:
        with classifiers.links(router.netns) as links:
            links.detach(entrance.link)
    except OSError as problem:
        log.debug("%s: %s", entrance.link, problem)


def _cut_link(where: Where, cut: Cut) -> None:
    """A guest may have deleted its link, or its namespace may be gone."""
    try:
        with topology.opened(where[0]) as netns:
            offloads.cut_to_packets(netns, where[1], cut)
    except OSError as problem:
        log.debug("%s in %s: %s", where[1], where[0], problem)


def _is_cut(where: Where, cut: Cut) -> bool:
    try:
        with topology.opened(where[0]) as netns:
            return offloads.cuts_to_packets(netns, where[1], cut)
    except OSError:  # a link that is not there hands on nothing
        return True


def _is_there(where: Where) -> bool:
    try:
        with topology.opened(where[0]) as netns:
            return where[1] in topology.links(netns)
    except OSError:
        return False
