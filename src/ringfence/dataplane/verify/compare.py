"""What is there against what was asked for, piece by piece: rules in order, elements, routes, neighbours, addresses, settings.

Any difference is drift, whatever it means; what it means for packets is `prove`'s to say. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from functools import lru_cache, partial
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network

from ringfence.dataplane.nftables.counting import epoch_of
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, NAME, Chain, Element, Set, Table
from ringfence.dataplane.nftables.readback import definition_of, hook_of, wanted
from ringfence.dataplane.nftables.terms import rule_text, rule_wire
from ringfence.dataplane.plan import LOOP_TABLE
from ringfence.dataplane.verify.findings import Drift, Finding
from ringfence.dataplane.verify.program import Decide, LookUp, Program, decision, program
from ringfence.dataplane.verify.rtnetlink import REMEMBERED, Paths, Route
from ringfence.dataplane.verify.snapshot import Elements, Entry, HookPoint, Rules, Snapshot, TableContent
from ringfence.dataplane.verify.wanted import TABLES, Place, family_name

SHUT_TABLE = "ringfence-shut"  # what closes a namespace while it is being repaired: `repair.py`
_ID = re.compile(r"(?:sg|acl|eni|vpc|igw|rtb|subnet)-[0-9a-z]+")
_MULTICAST6 = ip_network("ff00::/8")
_ALWAYS_LOCAL = (_MULTICAST6, ip_network("127.0.0.0/8"))
_NUMBER = re.compile(r"(?:own4|own6|any|to|owned)-(\d+)")
#: sets and maps whose elements only ever let something pass: one that is missing closes
_ALLOWING = re.compile(
    r"own4|own6|own|peers|far-(?:in|out)[46]\..*|any-source|any-destination|destination[46]|sg-in|sg-out|services[46]|listen[46]|links|members[46]\..*"
    r"|(?:in|out)\.sg-.*|(?:in|out)\.acl-.*|private|public"
)
Note = Callable[..., Finding]


def compare(place: Place, found: Snapshot) -> list[Finding]:
    """Every difference between a namespace and what it should hold."""
    note: Note = partial(Finding, place=place.component)
    return [*_tables(place, found, note), *paths(place, found.paths), *_settings(place, found, note)]


# ---------------------------------------------------------------------- tables
def _tables(place: Place, found: Snapshot, note: Note) -> Iterator[Finding]:
    known = {(FAMILY_NUMBERS[table.family], NAME): table for table in place.tables}
    for (family, name), content in found.tables.items():
        if (family, name) not in known and name != SHUT_TABLE:
            what = f"{sum(len(c.programs) for c in content.chains.values())} rules in {sorted(content.chains)}"
            yield note(Drift.EXTRA, "table", component=place.component, name=name, detail=f"family {family}: {what}")
    for key, table in known.items():
        content_or_none = found.tables.get(key)
        if content_or_none is None:
            yield note(Drift.MISSING, "table", component=place.component, name=table.family, detail="all of it")
            continue
        yield from _table(place, table, content_or_none, note)


def _table(place: Place, table: Table, found: TableContent, note: Note) -> Iterator[Finding]:
    if found.asleep:
        yield note(Drift.CHANGED, "table", component=place.component, name=table.family, detail="its hooks are off")
    for name in sorted(found.flowtables):
        yield note(Drift.EXTRA, "flowtable", component=place.component, name=name, detail="forwards past the rules")
    for name in sorted(found.chains.keys() | table.chains.keys()):
        yield from _chain(place, table, name, table.chains.get(name), found.chains.get(name), note)
    for name in sorted(found.sets.keys() | table.sets.keys()):
        if name not in table.sets and epoch_of(name) is not None:
            continue  # what was counted, and is not read yet: no rule asks it any more
        yield from _set(place, table, name, found.sets.get(name), note)
    timeouts = {(7, name) for name in table.timeouts}
    for kind, name in sorted(timeouts ^ found.objects.keys()):
        drift = Drift.MISSING if (kind, name) in timeouts else Drift.EXTRA
        yield note(drift, "object", component=place.component, name=name, detail=f"of kind {kind}")


def _chain(
    place: Place, table: Table, name: str, want: Chain | None, have: Rules | None, note: Note
) -> Iterator[Finding]:
    where = partial(note, component=_component(place, name, table), name=name)
    if have is None and want is not None:
        yield where(Drift.MISSING, "chain", detail=f"with its {len(want.rules)} rules")
    elif want is None and have is not None:
        yield where(
            Drift.EXTRA, "chain", detail=f"{'called by the kernel, ' if have.hook else ''}{len(have.programs)} rules"
        )
    elif want is not None and have is not None:
        hook = hook_of(table.family, want)
        asked = None if hook is None else HookPoint(*hook, accepts=False, kind="filter")
        if asked != have.hook:
            yield where(Drift.CHANGED, "chain", detail=_hook_text(have.hook))
        yield from _rules(want, have, where)


def _hook_text(hook: HookPoint | None) -> str:
    if hook is None:
        return "the kernel does not call it"
    policy = "accept" if hook.accepts else "drop"
    return f"hook {hook.number}, priority {hook.priority}, policy {policy}, type {hook.kind}"


def _rules(want: Chain, have: Rules, where: Note) -> Iterator[Finding]:
    asked = [program(rule_wire(rule)) for rule in want.rules]
    if asked == have.programs:
        return
    for tag, a, b, c, d in SequenceMatcher(None, asked, have.programs, autojunk=False).get_opcodes():
        pairs = min(b - a, d - c) if tag == "replace" else 0
        for n in range(pairs):
            text = f"rule {a + n + 1} was {rule_text(want.rules[a + n])}; is {shown(have.programs[c + n])}"
            yield where(Drift.CHANGED, "rule", detail=text)
        if tag == "equal":
            continue
        for n in range(a + pairs, b):
            yield where(Drift.MISSING, "rule", detail=f"rule {n + 1}: {rule_text(want.rules[n])}")
        for n in range(c + pairs, d):
            yield where(Drift.EXTRA, "rule", detail=f"at {n + 1}: {shown(have.programs[n])}")


def shown(rule: Program) -> str:
    """A rule that nobody wrote a text for."""
    return "; ".join(_said(each) for each in rule) or "nothing"


def _said(each: object) -> str:
    if isinstance(each, Decide):
        return f"{each.code} {each.chain}".rstrip()
    if isinstance(each, LookUp):
        return f"{'not ' if each.absent else ''}in @{each.name}"
    return str(each)


def _set(place: Place, table: Table, name: str, have: Elements | None, note: Note) -> Iterator[Finding]:
    want = table.sets.get(name)
    where = partial(note, name=name)
    own = _component(place, name, table)
    if want is None and have is not None:
        yield where(Drift.EXTRA, "set", component=own, detail=f"{len(have.entries)} elements")
    elif have is None and want is not None:
        yield where(Drift.MISSING, "set", component=own, detail=f"{len(table.elements.get(name, {}))} elements")
    elif want is not None and have is not None:
        if definition_of(want) != (have.flags, have.key_size, have.value_kind, have.value_size):
            yield where(Drift.CHANGED, "set", component=own, detail="its definition")
        elif not have.dynamic:  # packets fill the others: nothing is decided by them
            yield from _elements(place, want, table.elements.get(name, {}), have, own, note)


def _elements(
    place: Place, kind: Set, asked: Iterable[Element], have: Elements, own: str, note: Note
) -> Iterator[Finding]:
    want = {(w := wanted(kind, element))[:2]: (w[2], w[3], element) for element in asked}
    held = {(entry.key, entry.end): entry for entry in have.entries}
    for key in want.keys() | held.keys():
        value, comment, element = want.get(key, (b"", b"", None))
        entry = held.get(key)
        text = _element_text(kind, element, entry)
        which = _concerned(place, text, own)
        where = partial(note, component=which, name=kind.name, detail=text)
        if entry is None:
            yield where(Drift.MISSING, "element", shut=_ALLOWING.fullmatch(kind.name) is not None)
        elif element is None:
            yield where(Drift.EXTRA, "element")
        elif (_value(entry), entry.comment, entry.strange) != (value, comment, False):
            yield where(Drift.CHANGED, "element")


def _value(entry: Entry) -> bytes:
    """As `readback.wanted` puts it: a verdict in words, a value as it is."""
    if not entry.value:
        return b""
    kind = int.from_bytes(entry.value[2:4], "little") & 0x3FFF
    if kind == 2:
        found = decision(entry.value)
        return f"{found.code} {found.chain}".rstrip().encode()
    return entry.value[4 : int.from_bytes(entry.value[:2], "little")]


def _element_text(kind: Set, element: Element | None, entry: Entry | None) -> str:
    if element is not None:
        ends = element.end or element.key
        words = [
            part.show(low) if low == high else f"{part.show(low)}-{part.show(high)}"
            for part, low, high in zip(kind.key, element.key, ends, strict=True)
        ]
        return " . ".join(words) + (f" : {element.data}" if element.data is not None else "")
    assert entry is not None
    words, at = [], 0
    for part in kind.key:
        low, high = entry.key[at : at + part.size], entry.end[at : at + part.size]
        words.append(_bytes_text(part.name, low) + (f"-{_bytes_text(part.name, high)}" if high and high != low else ""))
        at += part.words * 4
    value = _value(entry)
    return " . ".join(words) + (f" : {value!r}" if value else "")


def _bytes_text(kind: str, value: bytes) -> str:
    if kind == "ifname":
        return '"' + value.rstrip(b"\0").decode(errors="replace") + '"'
    if kind in ("ipv4_addr", "ipv6_addr"):
        return str(ip_interface(value).ip)
    if kind == "ether_addr":
        return value.hex(":")
    return str(int.from_bytes(value, "little" if kind in ("mark", "integer", "devgroup") else "big"))


# ---------------------------------------------------------------------- naming
def _component(place: Place, name: str, table: Table) -> str:
    """Whose a chain or set is: a group's, a network ACL's, an interface's; else the namespace's own."""
    if found := _NUMBER.fullmatch(name):
        return place.owners.get(f"e{found[1]}", place.component)
    if ".class-" in name:
        calls = [
            getattr(term, "chain", "")
            for rule in _rules_of(table, name.removesuffix(".untracked"))
            for term in rule
            if _calls(term)
        ]
        groups = [found[0] for chain in calls if (found := _ID.search(chain))]
        return ", ".join(groups) or place.component
    first = _ID.search(name) if name.startswith(("in.", "out.", "members")) else None
    return first[0] if first else place.component


def _calls(term: object) -> bool:
    return getattr(term, "code", "") == "jump" and ".class-" not in getattr(term, "chain", "")


def _rules_of(table: Table, name: str) -> Iterable[tuple[object, ...]]:
    chain = table.chains.get(name)
    return chain.rules if chain else ()


def _concerned(place: Place, text: str, own: str) -> str:
    """An element of a shared map is its interface's; one of a group's set is the group's."""
    if own != place.component:
        return own
    first = text.split(" . ")[0].split(" : ")[0].strip('"')
    return place.owners.get(first) or place.owners.get(f"e{first}", own)


# ---------------------------------------------------------------------- paths
def paths(place: Place, found: Paths) -> list[Finding]:
    """Differences of routes, policy rules, neighbours, addresses and links."""
    note: Note = partial(Finding, place=place.component)
    lost = {each for each in place.guests if each not in found.links}
    out = [
        note(Drift.MISSING, "link", component=_owner(place, each), name=each, detail="its guest has taken its end away"
             if each in lost else "is not there", shut=True)
        for each in sorted(place.links - found.links.keys())
    ]  # fmt: skip
    out += (
        note(Drift.EXTRA, "link", component=place.component, name=each, detail="nobody asked for it",
             shut=found.groups.get(each) not in place.groups.values())
        for each in sorted(found.links.keys() - place.links)
    )  # fmt: skip
    out += (
        note(Drift.CHANGED, "link", component=_owner(place, name), name=name, shut=not is_in,
             detail=f"is in group {is_in}, by which rules know it, not in {group}")
        for name, group in sorted(place.groups.items())
        if (is_in := found.groups.get(name, group)) != group
    )  # fmt: skip
    out += (
        note(Drift.CHANGED, "link", component=_owner(place, each), name=each, detail="is down", shut=True)
        for each in sorted(place.links & found.links.keys())
        if not found.links[each]
    )
    out += _routes(place, found, lost, note)
    for rule in place.rules ^ frozenset(found.rules):
        drift = Drift.MISSING if rule in place.rules else Drift.EXTRA
        text = (
            f"{family_name(rule.version)} {rule.priority}: mark {rule.mark:#x}/{rule.mask:#x} asks table {rule.table}"
        )
        which = place.table_names.get(rule.table, place.component)
        out.append(note(drift, "policy rule", component=which, name=str(rule.priority), detail=text))
    out += _neighbours(place, found, lost, note)
    addresses = {each for each in found.addresses if not _by_itself(*each)}
    for name, address in sorted(place.addresses ^ addresses):
        drift = Drift.MISSING if (name, address) in place.addresses else Drift.EXTRA
        out.append(note(drift, "address", component=place.component, name=name, detail=address))
    return out


def _by_itself(link: str, address: str) -> bool:
    """Loopback, and link-local addresses, which lead nowhere."""
    return (link == "lo" and address in ("127.0.0.1/8", "::1/128")) or address.startswith("fe80:")


def _owner(place: Place, link: str) -> str:
    return place.owners.get(link, place.component)


def _routes(place: Place, found: Paths, lost: set[str], note: Note) -> Iterator[Finding]:
    held = _held(found)
    have = {_plain(route) for route in found.routes if not _of_the_kernel(route, held.get(route.link, ()))}
    for route in sorted(place.routes ^ have, key=str):
        missing = route in place.routes
        table = place.table_names.get(route.table) or {v: k for k, v in TABLES.items()}.get(
            route.table, str(route.table)
        )
        which = table if route.table in place.table_names else place.owners.get(_host(route), place.component)
        # a guest's link takes the routes through it along; what lies behind them lets nothing through
        shut = missing and route.link in lost and route.table != LOOP_TABLE
        yield note(
            Drift.MISSING if missing else Drift.EXTRA, "route", component=which, name=table, detail=_route_text(route),
            shut=shut,
        )  # fmt: skip


def unwanted_routes(place: Place, found: Paths) -> list[Route]:
    """Routes that nobody asked for and that do not follow from addresses."""
    held = _held(found)
    return [
        each for each in found.routes
        if _plain(each) not in place.routes and not _of_the_kernel(each, held.get(each.link, ()))
    ]  # fmt: skip


def _held(found: Paths) -> Mapping[str, list[IPv4Interface | IPv6Interface]]:
    """The addresses of each link."""
    out: dict[str, list[IPv4Interface | IPv6Interface]] = {}
    for link, address in found.addresses:
        out.setdefault(link, []).append(_interface(address))
    return out


@lru_cache(maxsize=REMEMBERED)
def _interface(text: str) -> IPv4Interface | IPv6Interface:
    return ip_interface(text)


def _plain(route: Route) -> Route:
    """Without the link that the kernel writes beside routes that lead nowhere."""
    if route.kind in ("blackhole", "throw", "unreachable", "prohibit") and route.link == "lo":
        return Route(
            route.version,
            route.table,
            route.kind,
            route.destination,
            route.metric,
            route.via,
            "",
            strange=route.strange,
        )
    return route


def _host(route: Route) -> str:
    return (
        str(route.destination.network_address) if route.destination.prefixlen == route.destination.max_prefixlen else ""
    )


def _route_text(route: Route) -> str:
    via = f" via {route.via}" if route.via else ""
    out = f" dev {route.link}" if route.link else ""
    return f"{route.kind} {route.destination}{via}{out} metric {route.metric}"


def _of_the_kernel(route: Route, held: Iterable[IPv4Interface | IPv6Interface]) -> bool:
    """Does it follow from the addresses of its link alone? What it says about itself is not believed."""
    if route.via is not None or route.strange:
        return False
    whole = route.destination.prefixlen == route.destination.max_prefixlen
    mine = [each for each in held if each.version == route.version]
    first = route.destination.network_address
    if route.table == TABLES["local"]:
        if route.destination in _ALWAYS_LOCAL:
            return True
        if route.kind in ("local", "anycast") or (route.kind == "multicast" and route.version == 6):
            edges = {each.network.network_address for each in mine}
            return whole and (any(each.ip == first for each in mine) or (route.kind != "local" and first in edges))
        return route.kind == "broadcast" and any(first in each.network for each in mine)
    if route.kind != "unicast" or route.table != TABLES["main"]:
        return False
    alone = first if whole else None
    return route.destination == _MULTICAST6 or any(
        each.network == route.destination or each.ip == alone for each in mine
    )


def _neighbours(place: Place, found: Paths, lost: set[str], note: Note) -> Iterator[Finding]:
    have = set(found.neighbours)
    asked = {(each.address, each.link) for each in place.neighbours}
    there = {(each.address, each.link) for each in have}
    for each in sorted(place.neighbours ^ have, key=str):
        key = (each.address, each.link)
        missing = each in place.neighbours
        if missing and key in there:
            continue  # told of as changed
        changed = not missing and key in asked
        drift = Drift.MISSING if missing else Drift.CHANGED if changed else Drift.EXTRA
        text = f"{each.address} is at {each.mac}{' (proxy)' if each.proxy else ''}"
        which = place.owners.get(str(each.address), place.component)
        yield note(drift, "neighbour", component=which, name=each.link, detail=text, shut=missing and each.link in lost)


def _settings(place: Place, found: Snapshot, note: Note) -> Iterator[Finding]:
    for name, value in place.settings.items():
        is_now = found.settings.get(name, "")
        if is_now not in ("", value):
            yield note(Drift.CHANGED, "setting", component=place.component, name=name, detail=f"{is_now}, not {value}")
