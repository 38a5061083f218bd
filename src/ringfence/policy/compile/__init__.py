"""World → IR: a pure function with a memory.

A `Compiler` remembers each fragment with the identity of the rows it was made from; while those are the same objects the
fragment is reused. What it gives depends on the World alone (tests compare it with a fresh compiler's).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from ringfence.model.kinds import (
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.world import World
from ringfence.policy.compile import interfaces, machines, names, network_acls, routing, security_groups
from ringfence.policy.ir import Delta, Fragment, Ir, Key, key_of

F = TypeVar("F")
RUNNING = frozenset({InstanceState.PENDING, InstanceState.RUNNING})


class Memory:
    """Fragments by key, each with the rows it was made from."""

    def __init__(self) -> None:
        self._old: dict[Any, tuple[tuple[Any, ...], Any]] = {}
        self._new: dict[Any, tuple[tuple[Any, ...], Any]] = {}

    def turn(self) -> None:
        """Forget what the last compilation did not use."""
        self._old, self._new = self._new, {}

    def make(self, key: Any, inputs: tuple[Any, ...], build: Callable[[], F]) -> F:
        """The remembered value while every input is the same object; otherwise a new one, kept if it differs."""
        held = self._old.get(key)
        if (
            held is not None
            and len(held[0]) == len(inputs)
            and all(a is b for a, b in zip(held[0], inputs, strict=True))
        ):
            self._new[key] = held
            return held[1]  # type: ignore[no-any-return]
        value = build()
        if held is not None and held[1] == value:
            value = held[1]
        self._new[key] = (inputs, value)
        return value


class Compiler:
    """Compiles one World after another."""

    def __init__(self) -> None:
        self._memory = Memory()

    def compile(self, world: World) -> Ir:
        """The IR of a World."""
        self._memory.turn()
        return Ir(world.generation, {key_of(fragment): fragment for fragment in self._fragments(world)})

    def _fragments(self, world: World) -> Iterator[Fragment]:
        make = self._memory.make
        for group in world.all(SECURITY_GROUP):
            yield make(("group", group.id), (group,), partial(security_groups.group, group))
            members = tuple(world.by(NETWORK_INTERFACE, "group", group.id))
            yield make(
                ("members", group.id), (group.vpc_id, *members),
                partial(security_groups.members, group, members),
            )  # fmt: skip
        for acl in world.all(NETWORK_ACL):
            yield make(("acl", acl.id), (acl,), partial(network_acls.acl, acl))
        for vpc in world.all(VPC):
            yield make(("vpc", vpc.id), (vpc,), partial(routing.vpc, vpc))
        for subnet in world.all(SUBNET):
            table_id = routing.table_of(world, subnet)
            yield make(("subnet", subnet.id), (subnet, table_id), partial(routing.subnet, subnet, table_id))
        for table in world.all(ROUTE_TABLE):
            inputs = (table, *routing.table_inputs(world, table))
            yield make(("table", table.id), inputs, partial(routing.route_table, world, table))
        for eni in world.all(NETWORK_INTERFACE):
            yield make(("eni", eni.id), (eni,), partial(interfaces.interface, eni))
        yield from self._per_vpc(world)
        yield from self._machines(world)

    def _per_vpc(self, world: World) -> Iterator[Fragment]:
        make = self._memory.make
        for gateway in world.all(INTERNET_GATEWAY):
            if gateway.vpc_id is not None and world.find(VPC, gateway.vpc_id) is not None:
                yield make(("edge", gateway.id), (object(),), partial(interfaces.edge, world, gateway))
        for vpc in world.all(VPC):
            records = []
            for eni in world.by(NETWORK_INTERFACE, "vpc", vpc.id):
                public = interfaces.public_addresses(world, eni)
                records.append(
                    make(("names", eni.id), (eni, vpc, *public),
                         partial(names.records, vpc, eni, public))
                )  # fmt: skip
            yield make(("zone", vpc.id), (vpc, *records), partial(names.zone, vpc, records))

    def _machines(self, world: World) -> Iterator[Fragment]:
        for instance in world.all(INSTANCE):
            if instance.state in RUNNING:
                inputs = (instance, *machines.inputs(world, instance))
                yield self._memory.make(("machine", instance.id), inputs, partial(machines.machine, world, instance))


def compile_world(world: World) -> Ir:
    """The IR of a World, from scratch."""
    return Compiler().compile(world)


def diff(old: Ir | None, new: Ir) -> Delta:
    """What must be put and dropped to get from one IR to another; everything from None."""
    before: dict[Key, Fragment] = old.fragments if old else {}
    put = tuple(fragment for key, fragment in new.fragments.items() if before.get(key) is not fragment)
    drop = tuple(key for key in before if key not in new.fragments)
    return Delta(old.generation if old else None, new.generation, put, drop)


def apply_delta(old: Ir | None, delta: Delta) -> Ir:
    """The IR a delta leads to. ValueError if it starts from another generation."""
    if delta.base is not None and (old is None or old.generation != delta.base):
        raise ValueError(f"the delta starts from generation {delta.base}, not {old.generation if old else None}")
    fragments = dict(old.fragments) if old and delta.base is not None else {}
    for key in delta.drop:
        fragments.pop(key, None)
    fragments.update((key_of(fragment), fragment) for fragment in delta.put)
    return Ir(delta.generation, fragments)
