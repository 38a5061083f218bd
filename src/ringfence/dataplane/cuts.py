"""Which links take single packets only: those whose packets flow logs count (docs/adr/0010)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from ringfence.dataplane import offloads, topology
from ringfence.dataplane.plan import EDGE_VPC, LOOP_OUT, SERVICE, edge_ns, endpoint_ns, peer_links, vpc_ns
from ringfence.dataplane.router import Router, device
from ringfence.dataplane.slices import VpcSlice

log = logging.getLogger("ringfence.network")


def cut(router: Router, part: VpcSlice, edges: Collection[str], endpoints: Collection[str]) -> None:
    """Where packets are counted, links take single packets, as the wire carries them.

    `edges`, `endpoints`: the gateways and the gateway endpoints that have their namespaces.
    """
    counted = {eni.eni_id for eni in part.interfaces if eni.counted}
    wanted = {(place, device(eni)) for eni, place in router.plugged.values() if eni.eni_id in counted}
    if counted:
        wanted.add((vpc_ns(router.vpc_id), LOOP_OUT))
        if part.edge is not None and part.edge.gateway_id in edges:
            wanted.add((edge_ns(part.edge.gateway_id), EDGE_VPC))
        far = {way.peering_id: way.far_vpc_id for way in part.peerings if way.peering_id in router.peers}
        wanted |= {(vpc_ns(vpc_id), name) for id, vpc_id in far.items() for name in peer_links(id)}
        wanted |= {(endpoint_ns(e.endpoint_id), SERVICE) for e in part.endpoints if e.endpoint_id in endpoints}
    for place, link_name in wanted - router.cut:
        _cut_link(place, link_name, cut=True)
    for place, link_name in router.cut - wanted:
        _cut_link(place, link_name, cut=False)
    router.cut = wanted


def hold_to_packets(routers: Iterable[Router]) -> set[str]:
    """The interfaces whose guests let their links take larger pieces again; no longer they do."""
    found = set()
    for router in routers:
        for eni, place in list(router.plugged.values()):
            where = place, device(eni)
            if where in router.cut and not _is_cut(*where):
                found.add(eni.eni_id)
                _cut_link(*where, cut=True)
    return found


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
