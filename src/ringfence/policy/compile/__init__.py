"""World → IR: a pure function with a memory.

Each fragment is made from one row by one maker (`MAKERS`), which reads whatever else it needs through a `Reader`. The
compiler remembers what each fragment was made from; after a change it makes only those again that read something the
change touched, and reuses the others as the same objects. No row or fragment is ever hashed by value.
What it gives depends on the World alone: tests compare it with a fresh compiler's after random changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.model.kinds import KINDS
from ringfence.model.world import Place, World
from ringfence.policy.compile import (
    edge,
    endpoints,
    gaps,
    interfaces,
    machines,
    names,
    network_acls,
    peering,
    routing,
    security_groups,
)
from ringfence.policy.compile.rows import Glance, Maker, Reader
from ringfence.policy.ir import Delta, Fragment, Ir, Key, key_of

#: noun of a row → the fragments made for it; a maker may also say that there is none (None)
MAKERS: dict[str, tuple[Maker, ...]] = {
    "vpc": (routing.vpc, names.zone),
    "subnet": (routing.subnet,),
    "route-table": (routing.route_table,),
    "internet-gateway": (edge.edge,),
    "vpc-endpoint": (endpoints.endpoint,),
    "security-group": (security_groups.group, security_groups.members),
    "security-group-vpc-association": (security_groups.associated_group, security_groups.associated_members),
    "network-acl": (network_acls.acl,),
    "network-interface": (interfaces.interface,),
    "instance": (machines.machine,),
    "vpc-peering-connection": (
        peering.requester_way,
        peering.accepter_way,
        peering.requester_members,
        peering.accepter_members,
    ),
    "import-gap": (gaps.gap,),
}
#: a maker and the row it is for
Node = tuple[Maker, str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What a maker gave, and what that was made from."""

    read: frozenset[Place] = frozenset()
    glances: tuple[Glance, ...] = ()
    fragment: Fragment | None = None

    def places(self) -> frozenset[Place]:
        return self.read.union(glance.place for glance in self.glances)

    def minds(self, place: Place, world: World) -> bool:
        """Was anything that the place now shows otherwise made use of?"""
        return place in self.read or any(each.place == place and each.differs(world) for each in self.glances)


_NEVER = _Made()


def _touched(held: World, world: World) -> frozenset[Place] | None:
    """The places that may read differently: the same from a World to the next and back, when that was not committed."""
    touched = world.touched_since(held)
    return held.touched_since(world) if touched is None else touched


class Compiler:
    """Compiles one World after another; quick when one of each two descends from the other. Not for several threads."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._made: dict[Node, _Made] = {}
        self._readers: dict[Place, set[Node]] = {}
        self._fragments: dict[Key, Fragment] = {}

    def compile(self, world: World) -> Ir:
        """The IR of a World. ApiError if a row names one that does not exist (an unsound World, a bug elsewhere)."""
        touched = _touched(self._world, world) if self._world is not None else None
        # a maker that fails leaves nothing half remembered: the next compilation starts from scratch
        self._world = None
        self._fragments = dict(self._fragments)
        for node in self._all(world) if touched is None else self._affected(world, touched):
            self._make(world, node)
        self._world = world
        return Ir(world.generation, self._fragments)

    def _all(self, world: World) -> set[Node]:
        nodes = {
            (maker, noun, row.id)
            for noun, makers in MAKERS.items()
            for row in world.all(KINDS[noun])
            for maker in makers
        }
        return nodes | self._made.keys()

    def _affected(self, world: World, touched: frozenset[Place]) -> set[Node]:
        nodes: set[Node] = set()
        for place in touched:
            nodes.update(node for node in self._readers.get(place, ()) if self._made[node].minds(place, world))
            if len(place) == 2:  # a row: new ones have no reader yet
                nodes.update((maker, place[0], place[1]) for maker in MAKERS.get(place[0], ()))
        return nodes

    def _make(self, world: World, node: Node) -> None:
        maker, noun, id = node
        reader = Reader(world)
        row = reader.find(KINDS[noun], id)
        fragment: Fragment | None = maker(reader, row) if row is not None else None
        held = self._made.get(node, _NEVER)
        before = held.fragment
        if before is not None and fragment == before:
            fragment = before
        elif before is not None:
            self._fragments.pop(key_of(before), None)
        if fragment is not None:
            self._fragments[key_of(fragment)] = fragment
        now = _Made(frozenset(reader.read), tuple(reader.glances), fragment) if row is not None else _NEVER
        self._remember(node, held, now)

    def _remember(self, node: Node, old: _Made, new: _Made) -> None:
        was, now = old.places(), new.places()
        for place in was - now:
            readers = self._readers[place]
            readers.discard(node)
            if not readers:
                del self._readers[place]
        for place in now - was:
            self._readers.setdefault(place, set()).add(node)
        if now:
            self._made[node] = new
        else:
            self._made.pop(node, None)


def compile_world(world: World) -> Ir:
    """The IR of a World, from scratch."""
    return Compiler().compile(world)


def diff(old: Ir | None, new: Ir) -> Delta:
    """What must be put and dropped to get from one IR to another; everything from None."""
    put, drop = differences(old.fragments if old else {}, new.fragments)
    return Delta(old.generation if old else None, new.generation, tuple(put), tuple(drop))


def differences(before: Mapping[Key, Fragment], after: Mapping[Key, Fragment]) -> tuple[list[Fragment], list[Key]]:
    """The fragments that are new or changed, and the keys that are gone. Most fragments are the same objects, and asking
    just that is quick."""
    held = before.get
    other = [(key, fragment) for key, fragment in after.items() if held(key) is not fragment]
    put = [fragment for key, fragment in other if held(key) != fragment]
    came = sum(key not in before for key, _ in other)
    drop = [key for key in before if key not in after] if len(before) + came != len(after) else []
    return put, drop


def apply_delta(old: Ir | None, delta: Delta) -> Ir:
    """The IR a delta leads to. ValueError if it starts from another generation."""
    if delta.base is not None and (old is None or old.generation != delta.base):
        raise ValueError(f"the delta starts from generation {delta.base}, not {old.generation if old else None}")
    fragments = dict(old.fragments) if old and delta.base is not None else {}
    for key in delta.drop:
        fragments.pop(key, None)
    fragments.update((key_of(fragment), fragment) for fragment in delta.put)
    return Ir(delta.generation, fragments)
