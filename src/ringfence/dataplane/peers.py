"""The links between the namespaces of peer VPCs (PCX-05)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from ringfence.dataplane import topology
from ringfence.dataplane.plan import PEER, RELAYED, peer_links, vpc_ns
from ringfence.dataplane.router import Router, quietly
from ringfence.dataplane.slices import VpcSlice
from ringfence.dataplane.topology import TopologyError, run_batch
from ringfence.policy.ir import Peering

log = logging.getLogger("ringfence.network")


def join(routers: Mapping[str, Router], wanted: Mapping[str, VpcSlice], *, first: bool) -> None:
    """The links of peering connections whose VPCs both have a namespace; without links, their routes lead nowhere."""
    asked: dict[str, list[Peering]] = {}
    for part in wanted.values():
        for way in part.peerings:
            asked.setdefault(way.peering_id, []).append(way)
    joined = {id: ways[0] for id, ways in asked.items() if len(ways) == 2}
    for router in routers.values():
        _part(routers, router, router.peers - joined.keys())
        if first and not router.fresh:
            _part(routers, router, _left(router, joined))
    for id, way in joined.items():
        pair = routers[way.vpc_id], routers[way.far_vpc_id]
        try:
            _join(way, pair, routers)
        except TopologyError as problem:
            log.error("the VPCs of %s are not joined: %s", id, problem)
            for router in pair:
                _part(routers, router, {id})


def _join(way: Peering, pair: tuple[Router, Router], routers: Mapping[str, Router]) -> None:
    if all(way.peering_id in router.peers and router.laid is not None for router in pair):
        return  # they stand, and so what leads through them
    names = set(peer_links(way.peering_id))
    if all(names <= topology.links(router.netns) for router in pair):
        if all(way.peering_id in router.peers for router in pair):
            return
    else:  # new, or one end went with the namespace it was in
        for router in pair:
            _part(routers, router, {way.peering_id})
        far = vpc_ns(pair[1].vpc_id)
        run_batch(vpc_ns(pair[0].vpc_id), topology.peer_base(way.peering_id, far, same_region=way.same_region))
    for router in pair:
        run_batch(vpc_ns(router.vpc_id), topology.peer_up(way.peering_id))
        router.peers |= {way.peering_id}
        router.laid = None


def _part(routers: Mapping[str, Router], router: Router, gone: Collection[str]) -> None:
    """Take links away; the other end of each goes with it, and the routes through it."""
    there = topology.links(router.netns) if gone else set()
    for id in gone:
        for name in peer_links(id):
            if name in there:
                quietly(vpc_ns(router.vpc_id), f"link del {name}")
        for other in routers.values():
            if other is router or id in other.peers:
                for name in peer_links(id):
                    other.forget_link(name)
                other.peers -= {id}
                other.laid = None


def _left(router: Router, joined: Collection[str]) -> set[str]:
    """What of an earlier agent's links no connection has any more, by the part of its id that the links tell."""
    wanted = {name for id in joined for name in peer_links(id)}
    left = {name for name in topology.links(router.netns) if len(name) > 1 and name[0] in (PEER, RELAYED)}
    return {name[1:] for name in left - wanted}
