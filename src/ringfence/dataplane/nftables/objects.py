"""What a ruleset consists of, as values that can be compared: chains, sets and maps of one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chain:
    """A regular chain: one rule per line."""

    name: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Set:
    """A named set or map; `declaration` is what stands between the braces but for the elements."""

    name: str
    declaration: str
    elements: frozenset[str]
    is_map: bool = False

    @property
    def noun(self) -> str:
        return "map" if self.is_map else "set"


@dataclass(frozen=True, slots=True)
class Timeout:
    """A `ct timeout` object: it never changes."""

    name: str
    body: str


Object = Chain | Set | Timeout


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A table: its static part (base chains, written once) and its changing objects by name."""

    table: str  # e.g. `inet ringfence`
    static: str
    objects: dict[str, Object]


def full_text(ruleset: Ruleset) -> str:
    """The whole table, for people and for `nft -c`."""
    return changes(None, ruleset)


def changes(old: Ruleset | None, new: Ruleset) -> str:
    """nft commands from one ruleset to another, to be run as one transaction. Base chains are never deleted."""
    before = old.objects if old else {}
    table = new.table
    touched = [o for name, o in new.objects.items() if before.get(name) != o]
    gone = [o for name, o in before.items() if name not in new.objects]
    out = [] if old else [f"add table {table}"]
    for item in touched:  # declare, so that rules can name each other
        out += _declare(table, item, before.get(item.name))
    for item in touched:
        if isinstance(item, Chain):
            out += _refill(table, item, known=item.name in before)
    for item in touched:  # element values may be chains: these exist and are filled now
        if isinstance(item, Set):
            out += _elements(table, item, before.get(item.name))
    if old is None:
        out.append(new.static)
    out += [f"flush chain {table} {item.name}" for item in gone if isinstance(item, Chain)]
    out += [f"flush {item.noun} {table} {item.name}" for item in gone if isinstance(item, Set)]
    out += [f"delete {_noun(item)} {table} {item.name}" for item in gone if isinstance(item, Chain)]
    out += [f"delete {_noun(item)} {table} {item.name}" for item in gone if not isinstance(item, Chain)]
    return "\n".join(out) + "\n" if out else ""


def _noun(item: Object) -> str:
    if isinstance(item, Set):
        return item.noun
    return "chain" if isinstance(item, Chain) else "ct timeout"


def _declare(table: str, item: Object, before: Object | None) -> list[str]:
    if before is not None:
        return []
    if isinstance(item, Chain):
        return [f"add chain {table} {item.name}"]
    if isinstance(item, Set):
        return [f"add {item.noun} {table} {item.name} {{ {item.declaration} }}"]
    return [f"add ct timeout {table} {item.name} {{ {item.body} }}"]


def _refill(table: str, chain: Chain, *, known: bool) -> list[str]:
    rules = [f"add rule {table} {chain.name} {rule}" for rule in chain.rules]
    return [f"flush chain {table} {chain.name}", *rules] if known else rules


def _elements(table: str, item: Set, before: Object | None) -> list[str]:
    old = before.elements if isinstance(before, Set) else frozenset[str]()
    out = []
    removed, added = old - item.elements, item.elements - old
    if removed:
        keys = ", ".join(sorted(element.split(" : ")[0] for element in removed))
        out.append(f"delete element {table} {item.name} {{ {keys} }}")
    if added:
        out.append(f"add element {table} {item.name} {{ {', '.join(sorted(added))} }}")
    return out
