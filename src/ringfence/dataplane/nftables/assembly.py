"""Which fragments a namespace's tables are made of, and which pieces a change of fragments renders again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from ringfence.dataplane.nftables import counting, render
from ringfence.dataplane.nftables import edge as gateway
from ringfence.dataplane.nftables.base import arp_table, inet_table, internet_table
from ringfence.dataplane.nftables.counting import Asked, Epoch, Room
from ringfence.dataplane.nftables.pieces import EMPTY, Desired, Piece, TableChange
from ringfence.dataplane.nftables.service import service_table
from ringfence.dataplane.plan import link
from ringfence.policy.ir import (
    Acl,
    Counting,
    Edge,
    Fragment,
    Group,
    GroupMembers,
    Interface,
    Key,
    Peering,
    PeerMembers,
    RouteTable,
    Subnet,
    Vpc,
    associated_key,
    key_of,
)

F = TypeVar("F")


class VpcTables:
    """The filter of one VPC's namespace. Feed it fragments of that VPC only; it ignores kinds it has no use for.

    An interface whose subnet or route table is unknown has no elements, and so no traffic.
    """

    def __init__(self, generation: int = 1) -> None:
        """`generation`: see `renew`."""
        self.desired = Desired(inet_table(), arp_table())
        self.renew(generation)
        self._fragments: dict[Key, Fragment] = {}
        self._by_subnet: dict[str, set[Key]] = {}
        self._by_group: dict[str, set[Key]] = {}
        self._tables: dict[str, RouteTable] = {}
        self._vpc: Vpc | None = None
        self._counted: dict[Key, Counting] = {}
        self._epoch, self._room = Epoch(1, 0), Room()
        self._rendered: tuple[Epoch, Room, Asked] | None = None
        self._links: dict[str, str] = {}  # of this epoch: link → ENI, also of ENIs that are gone meanwhile

    def change(self, put: Iterable[Fragment], drop: Iterable[Key]) -> list[TableChange]:
        """Take over the changes; what the kernel's tables need to follow them."""
        touched: dict[Key, None] = {}
        plain = self._plain()
        news: list[tuple[Key, Fragment | None]] = [(key, None) for key in drop]
        news += [(key_of(fragment), fragment) for fragment in put]
        for key, fragment in news:
            old = self._fragments.get(key)
            self._forget(key)
            if fragment is not None:
                self._learn(key, fragment)
            touched[key] = None
            if _seen_by_others(old) != _seen_by_others(fragment):
                touched.update(dict.fromkeys(self._dependents(key)))
        now = self._plain()
        for name in plain.keys() | now.keys() if plain != now else ():
            if plain.get(name) != now.get(name):
                touched.update(dict.fromkeys(self._dependents(("RouteTable", name))))
        for key in touched:
            self.desired.put(key, self._piece(key))
        self._count()
        return self.desired.changes()

    @property
    def counting(self) -> Epoch | None:
        """The epoch that packets are counted in; None while no flow log covers any interface."""
        return self._epoch if self._counted else None

    def count_in(self, epoch: Epoch, room: Room) -> None:
        """From now on, packets are counted in the sets of this epoch."""
        for name in self._links:
            self.desired.put(("counted", name), EMPTY)
        self._epoch, self._room, self._links = epoch, room, {}
        self._count()

    def passes_on(self, put: Iterable[Fragment]) -> bool:
        """Would one of these interfaces get a link under which another was counted in this epoch?"""
        interfaces = (each for each in put if isinstance(each, Interface) and each.counted)
        return any(self._links.get(link(each.number), each.eni_id) != each.eni_id for each in interfaces)

    def _count(self) -> None:
        every = self._counted.values()
        asked = Asked(any(each.flags for each in every), not all(each.passed and each.refused for each in every))
        wanted = (self._epoch, self._room, asked) if self._counted else None
        if wanted != self._rendered:
            self._rendered = wanted
            self.desired.put("counting", counting.counting_piece(*wanted) if wanted else EMPTY)
        for key in self._counted:
            interface = self._fragments[key]
            if isinstance(interface, Interface) and self._links.get(name := link(interface.number)) != interface.eni_id:
                self._links[name] = interface.eni_id
                self.desired.put(("counted", name), counting.link_piece(self._epoch, name, interface.eni_id))

    def renew(self, generation: int) -> None:
        """Ask every flow again: what was judged under another generation counts for nothing (docs/adr/0006)."""
        self.desired.put("generation", render.generation_piece(generation))

    def concerns_flows(self, put: Iterable[Fragment], drop: Iterable[Key]) -> bool:
        """Could a packet of a flow that state admits now get another verdict? Rules and members of groups cannot do that
        (D-06), nor can the gateway, which is asked elsewhere, nor what was not there before."""
        changed = [key_of(fragment) for fragment in put if self._fragments.get(key_of(fragment)) != fragment]
        return any(
            key in self._fragments and key[0] not in ("Group", "GroupMembers", "PeerMembers", "Edge")
            for key in (*changed, *drop)
        )

    def interfaces(self) -> Iterator[Interface]:
        """The interfaces this namespace should know."""
        return (each for each in self._fragments.values() if isinstance(each, Interface))

    def _get(self, kind: type[F], key: str) -> F | None:
        found = self._fragments.get((kind.__name__, key))
        return found if isinstance(found, kind) else None

    def _learn(self, key: Key, fragment: Fragment) -> None:
        self._fragments[key] = fragment
        if isinstance(fragment, Interface):
            if fragment.counted:
                self._counted[key] = fragment.counted
            self._by_subnet.setdefault(fragment.subnet_id, set()).add(key)
            for group_id in fragment.groups:
                self._by_group.setdefault(group_id, set()).add(key)
        elif isinstance(fragment, RouteTable):
            self._tables[fragment.table_id] = fragment
        elif isinstance(fragment, Vpc):
            self._vpc = fragment

    def _forget(self, key: Key) -> None:
        fragment = self._fragments.pop(key, None)
        self._counted.pop(key, None)
        if isinstance(fragment, Interface):
            self._by_subnet[fragment.subnet_id].discard(key)
            for group_id in fragment.groups:
                self._by_group[group_id].discard(key)
        elif isinstance(fragment, RouteTable):
            del self._tables[fragment.table_id]
        elif isinstance(fragment, Vpc):
            self._vpc = None

    def _dependents(self, key: Key) -> Iterator[Key]:
        """The fragments whose pieces look at this one."""
        kind, name = key
        if kind == "Subnet":
            yield from self._by_subnet.get(name, ())
        elif kind == "Group":
            yield from self._by_group.get(name.partition("@")[0], ())
        elif kind in ("RouteTable", "Acl"):
            for other, fragment in self._fragments.items():
                if isinstance(fragment, Subnet) and name in (fragment.table_id, fragment.acl_id):
                    yield other
                    yield from self._by_subnet.get(fragment.subnet_id, ())
                elif isinstance(fragment, Edge) and fragment.table_id == name:
                    yield other

    def _piece(self, key: Key) -> Piece:
        fragment = self._fragments.get(key)
        match fragment:
            case Group():
                return render.group_piece(fragment)
            case GroupMembers():
                return render.members_piece(fragment)
            case Acl():
                return render.acl_piece(fragment)
            case Interface():
                return self._interface(fragment)
            case Peering():
                return render.peering_piece(fragment)
            case PeerMembers():
                return render.peer_members_piece(fragment)
            case Edge():
                return self._gate(fragment)
            case Vpc():
                return render.services_piece(fragment)
            case Subnet():
                return render.router_piece(fragment)
            case _:
                return EMPTY

    def _interface(self, interface: Interface) -> Piece:
        subnet = self._get(Subnet, interface.subnet_id)
        table = self._get(RouteTable, subnet.table_id) if subnet else None
        if subnet is None or table is None or self._get(Acl, subnet.acl_id) is None:
            return EMPTY
        groups = tuple(group for each in interface.groups if (group := self._group(each, interface.vpc_id)))
        plain = render.is_plain(table, self._vpc)
        return render.interface_piece(interface, render.Surroundings(subnet, table.number, groups, plain))

    def _plain(self) -> dict[str, bool]:
        """Which route tables leave the VPC's addresses to their owners."""
        return {name: render.is_plain(table, self._vpc) for name, table in self._tables.items()}

    def _group(self, group_id: str, vpc_id: str) -> Group | None:
        """The group as this VPC uses it: its own, or an associated one (SG-70)."""
        return self._get(Group, group_id) or self._get(Group, associated_key(group_id, vpc_id))

    def _gate(self, edge: Edge) -> Piece:
        if edge.table_id is None:
            return render.gate_piece(edge, 0, plain=True)
        table = self._get(RouteTable, edge.table_id)
        return render.gate_piece(edge, table.number, plain=render.is_plain(table, self._vpc)) if table else EMPTY


class EdgeTables:
    """The filter of one internet gateway's namespace: takes its `Edge` and its `Vpc`."""

    def __init__(self) -> None:
        self.desired = Desired(gateway.edge_table())
        self._edge: Edge | None = None
        self._vpc: Vpc | None = None

    def change(self, put: Iterable[Fragment], drop: Iterable[Key]) -> list[TableChange]:
        """Take over the changes; what the kernel's table needs to follow them."""
        for kind, _ in drop:
            if kind == "Edge":
                self._edge = None
            elif kind == "Vpc":
                self._vpc = None
        for fragment in put:
            if isinstance(fragment, Edge):
                self._edge = fragment
            elif isinstance(fragment, Vpc):
                self._vpc = fragment
        self.desired.put("edge", gateway.edge_piece(self._edge, self._vpc) if self._edge else EMPTY)
        return self.desired.changes()

    def interfaces(self) -> Iterator[Interface]:
        """None: no interface of an instance lives here."""
        return iter(())


def _seen_by_others(fragment: Fragment | None) -> object:
    """The part of a fragment that other fragments' pieces depend on."""
    match fragment:
        case Group():
            return fragment.opens_ingress, fragment.opens_egress
        case Subnet():
            return fragment
        case RouteTable():
            return fragment.number
        case Acl():
            return True
        case _:
            return None


class InternetTables:
    """The filter of the namespace that plays the internet: never changes."""

    def __init__(self) -> None:
        self.desired = Desired(internet_table())

    def change(self, put: Iterable[Fragment], drop: Iterable[Key]) -> list[TableChange]:
        """Nothing to follow."""
        return []

    def interfaces(self) -> Iterator[Interface]:
        """None."""
        return iter(())


class ServiceTables(InternetTables):
    """The filter of a gateway endpoint's namespace: the same for all, and never changes."""

    def __init__(self) -> None:
        self.desired = Desired(service_table())


Tables = VpcTables | EdgeTables | InternetTables | ServiceTables
