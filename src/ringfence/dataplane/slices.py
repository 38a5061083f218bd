"""The IR by VPC, kept as it changes: what did not change stays the same object, so that a change costs what it changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.policy import ir as nodes
from ringfence.policy.compile import differences
from ringfence.policy.ir import (
    Edge,
    Endpoint,
    Fragment,
    Interface,
    Ir,
    Key,
    Machine,
    Names,
    Peering,
    RouteTable,
    Subnet,
    Vpc,
    key_of,
)

_RULES = (nodes.Group, nodes.GroupMembers, nodes.PeerMembers, nodes.Acl)  # nothing but the packet filter looks at these
_FILTERED = (*_RULES, Interface, Subnet, RouteTable, Edge, Endpoint, Peering, Vpc)


@dataclass(frozen=True, slots=True)
class VpcSlice:
    """What links, routes and services of one VPC are made of."""

    interfaces: tuple[Interface, ...]
    subnets: tuple[Subnet, ...]
    tables: tuple[RouteTable, ...]
    edge: Edge | None
    endpoints: tuple[Endpoint, ...]
    vpc: Vpc
    names: Names | None
    peerings: tuple[Peering, ...] = ()


class Slices:
    """Of the IR taken last. Nothing given away is changed later."""

    def __init__(self) -> None:
        self._fragments: dict[Key, Fragment] = {}
        self._by_vpc: dict[str, dict[Key, Fragment]] = {}
        self.parts: dict[str, VpcSlice] = {}
        self.filtered: dict[str, dict[Key, Fragment]] = {}  # of each VPC, what its packet filter is made of
        self.machines: dict[str, Machine] = {}

    def take(self, ir: Ir) -> None:
        """Follow to another IR."""
        put, drop = differences(self._fragments, ir.fragments)
        gone = [old for key in (*drop, *map(key_of, put)) if (old := self._fragments.get(key)) is not None]
        for fragment in gone:
            del self._by_vpc[fragment.vpc_id][key_of(fragment)]
        for fragment in put:
            self._by_vpc.setdefault(fragment.vpc_id, {})[key_of(fragment)] = fragment
        kinds: dict[str, set[type]] = {}
        for fragment in (*gone, *put):
            kinds.setdefault(fragment.vpc_id, set()).add(type(fragment))
        for vpc_id, changed in kinds.items():
            self._renew(vpc_id, changed)
        if any(Machine in changed for changed in kinds.values()):
            self.machines = {f.instance_id: f for f in ir.fragments.values() if isinstance(f, Machine)}
        self._fragments = ir.fragments

    def _renew(self, vpc_id: str, changed: set[type]) -> None:
        held = self._by_vpc[vpc_id]
        if not changed.isdisjoint(_FILTERED):
            self.filtered[vpc_id] = {key: each for key, each in held.items() if type(each) in _FILTERED}
        if not changed <= {*_RULES, Machine}:
            part = _slice(held)
            if part is not None:
                self.parts[vpc_id] = part
            else:
                self.parts.pop(vpc_id, None)
        if not held:
            del self._by_vpc[vpc_id]
            self.filtered.pop(vpc_id, None)


def _slice(held: dict[Key, Fragment]) -> VpcSlice | None:
    """None without the VPC itself."""
    vpc = next((each for each in held.values() if isinstance(each, Vpc)), None)
    return None if vpc is None else VpcSlice(
        interfaces=tuple(each for each in held.values() if isinstance(each, Interface)),
        subnets=tuple(each for each in held.values() if isinstance(each, Subnet)),
        tables=tuple(each for each in held.values() if isinstance(each, RouteTable)),
        edge=next((each for each in held.values() if isinstance(each, Edge)), None),
        endpoints=tuple(each for each in held.values() if isinstance(each, Endpoint)),
        vpc=vpc,
        names=next((each for each in held.values() if isinstance(each, Names)), None),
        peerings=tuple(each for each in held.values() if isinstance(each, Peering)),
    )  # fmt: skip
