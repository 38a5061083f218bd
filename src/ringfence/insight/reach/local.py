"""The short way to an answer: two interfaces of one VPC with local routes both ways, as most pairs are.

The formula is that of the matrix, for one pair: groups and network ACLs there, network ACLs back, and for ICMP that opens no
flow the groups back as well. Whatever else may be on the way is left to the walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.insight.reach import router
from ringfence.insight.reach.atoms import Services, point, source_point
from ringfence.insight.reach.groups import GroupSet
from ringfence.insight.reach.places import WIDTH, Port, inside
from ringfence.policy.packet import Packet

if TYPE_CHECKING:
    from ringfence.insight.reach.engine import Engine


#: services, and the source ports of TCP and UDP that answers allow
Pair = tuple[int, int]


def allows(services: Services, pair: Pair, packet: Packet) -> bool:
    """Is a packet one of a set?"""
    wanted, ports = pair
    if not wanted >> services.bit(point(packet)) & 1:
        return False
    source = source_point(packet)
    return source is None or bool(ports >> services.bit(source) & 1)


def between(engine: Engine, source: str, family: int, src: int, dst: int) -> Pair | None:
    """All conversations, or None when this is not such a pair."""
    a = engine.places.ports.get(source)
    if a is None or not a.running or src not in a.addresses[family] or engine.has_unknown(a.vpc_id):
        return None
    place = engine.places.vpcs[a.vpc_id]
    b = place.owners[family].get(dst)
    if b is None or not b.running or b is a or router.keeps(place, family, dst):
        return None
    mine, theirs = engine.group_set(a.vpc_id, a.groups), engine.group_set(b.vpc_id, b.groups)
    if a.doubt or b.doubt or mine.lists or theirs.lists:
        return None
    to, from_ = engine.atom(family, dst), engine.atom(family, src)
    same = a.net is b.net
    if not same and not (_local(engine, a, family, dst, to) and _local(engine, b, family, src, from_)):
        return None
    return _pair(engine, (a, mine), (b, theirs), family, to, from_, same=same)


def _local(engine: Engine, port: Port, family: int, address: int, atom: int) -> bool:
    """Is the local route the one, and no subnet of its own or unroutable block in the way?"""
    net = port.net
    return engine.routes(net.table_id).local(family, atom) and not inside(net.blocks[family], WIDTH[family], address)


Side = tuple[Port, GroupSet]


def _pair(engine: Engine, sender: Side, receiver: Side, family: int, to: int, from_: int, *, same: bool) -> Pair:
    services, (a, mine), (b, theirs) = engine.services, sender, receiver
    sources = services.ported
    wanted = _of(services.full, theirs, False, family, from_, a)
    if wanted:
        wanted = _of(wanted, mine, True, family, to, b)
    if wanted and not same:
        acl, other = engine.acl(a.net.acl_id), engine.acl(b.net.acl_id)
        wanted &= acl.allowed(True, family, to) & other.allowed(False, family, from_)
        answers = other.allowed(True, family, from_) & acl.allowed(False, family, to)
        sources &= answers
        wanted &= services.asking(answers) | services.ported
    silent = wanted & services.silent
    if silent:
        wanted ^= silent
        silent = _of(silent, theirs, True, family, from_, a)
        wanted |= silent and _of(silent, mine, False, family, to, b)
    return wanted, sources


def _of(asked: int, groups: GroupSet, egress: bool, family: int, atom: int, remote: Port) -> int:
    """Of the services asked for, those that groups let through; references are looked up only where blocks leave something."""
    found = asked & groups.by_block(egress, family, atom)
    return found if found == asked else found | asked & groups.by_group(egress, family, remote.groups)
