"""What the kernel would hold, without a kernel: the rules as the product writes them, read as the kernel lists them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_interface

from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.counting import Epoch, Room
from ringfence.dataplane.nftables.fields import Type, pack_key
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, NAME, Element, Set, Table
from ringfence.dataplane.nftables.readback import definition_of, hook_of
from ringfence.dataplane.nftables.terms import Verdict, rule_wire
from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.program import program
from ringfence.dataplane.verify.rtnetlink import Paths, Route
from ringfence.dataplane.verify.snapshot import Elements, Entry, HookPoint, Rules, Snapshot, TableContent
from ringfence.dataplane.verify.wanted import TABLES, Place
from ringfence.policy.ir import Edge, Endpoint, Fragment, Interface, Peering, RouteTable, Subnet, Vpc


def tables_of(fragments: Iterable[Fragment], generation: int = 7) -> list[Table]:
    plan = VpcTables(generation)
    plan.count_in(Epoch(5, 3), Room())
    plan.change(list(fragments), ())
    return plan.desired.tables()


def place_of(fragments: Iterable[Fragment], tables: Iterable[Table] | None = None) -> Place:
    fragments = list(fragments)
    (vpc,) = (each for each in fragments if isinstance(each, Vpc))
    enis = [each for each in fragments if isinstance(each, Interface)]
    return wanted.vpc(
        tables_of(fragments) if tables is None else tables, vpc, (f for f in fragments if isinstance(f, Subnet)),
        (f for f in fragments if isinstance(f, RouteTable)), {eni.eni_id: eni for eni in enis}, enis,
        (f for f in fragments if isinstance(f, Endpoint)), gateway=any(isinstance(f, Edge) for f in fragments),
        peers=[f.peering_id for f in fragments if isinstance(f, Peering)],
    )  # fmt: skip


def snapshot_of(place: Place) -> Snapshot:
    """The namespace of a place as it should be."""
    tables = {(FAMILY_NUMBERS[table.family], NAME): content_of(table) for table in place.tables}
    return Snapshot(1, tables, paths_of(place), dict(place.settings))


def content_of(table: Table) -> TableContent:
    made = TableContent()
    for name, chain in table.chains.items():
        hook = hook_of(table.family, chain)
        point = None if hook is None else HookPoint(*hook, accepts=False, kind="filter")
        made.chains[name] = Rules(point, [program(rule_wire(rule)) for rule in chain.rules])
    for name, kind in table.sets.items():
        flags, size, value, value_size = definition_of(kind)
        entries = [] if kind.room is not None else [_entry(kind, each) for each in table.elements.get(name, {})]
        made.sets[name] = Elements(flags, size, value, value_size, (), entries)
    made.objects = {(nl.TIMEOUT_OBJECT, name): b"" for name in table.timeouts}
    return made


def _entry(kind: Set, element: Element) -> Entry:
    value = b""
    if isinstance(element.data, Verdict):
        value = element.data.data()
    elif element.data is not None and isinstance(kind.data, Type):
        value = wire.attr(1, kind.data.pack(element.data))
    end = b"" if element.end is None else pack_key(kind.key, element.end)
    return Entry(pack_key(kind.key, element.key), end, value, (element.comment or "").encode())


def paths_of(place: Place) -> Paths:
    """With the routes that the kernel adds to addresses, as far as they matter."""
    routes = list(place.routes)
    for link, address in place.addresses:
        held = ip_interface(address)
        metric = 0
        alone = (IPv4Network if held.version == 4 else IPv6Network)(held.ip)
        routes.append(Route(held.version, TABLES["local"], "local", alone, metric, None, link, own=True))
        if held.network.prefixlen < held.max_prefixlen or held.version == 6:
            routes.append(Route(held.version, TABLES["main"], "unicast", held.network, metric, None, link, own=True))
    return Paths(
        routes,
        list(place.rules),
        list(place.neighbours),
        set(place.addresses),
        dict.fromkeys(place.links, True),
        dict(place.groups),
    )
