"""Chains, sets, maps and timeout objects of a table, as values; their nft text.

A *base chain* (with a hook) is created once and never deleted or changed; everything else may change (docs/adr/0004).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringfence.dataplane.nftables.fields import Type, Value
from ringfence.dataplane.nftables.terms import Rewrite, Rule, Verdict, rule_text

INET, ARP = "inet", "arp"
KEEP_SECONDS = 604_800  # elements that packets made know their age by what is left of this; they are read long before
FAMILY_NUMBERS = {"inet": 1, "arp": 3}


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain is called; policy drop."""

    name: str
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain with all its rules."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """A set (`data` None), a map to values (`data` a type) or a verdict map (`data` "verdict").

    `interval`: elements may be ranges in every field; needs at least two fields. `typeof`: nft's spelling of a key that
    has no type name. `room`: a set that packets fill by themselves takes so many elements, with their
    age and a counter each unless `counters` is False.
    """

    name: str
    key: tuple[Type, ...]
    data: Type | str | None = None
    interval: bool = False
    typeof: str | None = None
    room: int | None = None
    counters: bool = True

    @property
    def key_size(self) -> int:
        return self.key[0].size if len(self.key) == 1 else sum(kind.words * 4 for kind in self.key)

    @property
    def key_number(self) -> int:
        """The datatype number of the (concatenated) key: six bits for each field."""
        number = 0
        for kind in self.key:
            number = number << 6 | kind.number
        return number


@dataclass(frozen=True, slots=True)
class Element:
    """A key or, with `end`, a range of keys; what it maps to; a comment that is read back after a restart."""

    key: tuple[Value, ...]
    end: tuple[Value, ...] | None = None
    data: Value | Verdict | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Timeout:
    """Idle times (seconds) of connections of one protocol: `values` = ((state name, nfct number, seconds), ...)."""

    name: str
    protocol: int  # 6 or 17
    values: tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class Table:
    """A table: its name is always `ringfence`."""

    family: str
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    elements: dict[str, dict[Element, None]] = field(default_factory=dict)
    timeouts: dict[str, Timeout] = field(default_factory=dict)


NAME = "ringfence"


def text_of(table: Table) -> str:
    """The table in nft's language, in an order that does not depend on how it came about."""
    lines = [f"table {table.family} {NAME} {{"]
    for name in sorted(table.timeouts):
        lines += _timeout_lines(table.timeouts[name])
    for name in sorted(table.sets):
        lines += _set_lines(table.sets[name], table.elements.get(name, {}))
    for chain in sorted(table.chains.values(), key=lambda chain: (chain.hook is None, chain.name)):
        lines += _chain_lines(chain)
    return "\n".join([*lines, "}", ""])


def _timeout_lines(timeout: Timeout) -> list[str]:
    policy = ", ".join(f"{state} : {seconds}" for state, _, seconds in timeout.values)
    protocol = {6: "tcp", 17: "udp"}[timeout.protocol]
    return [
        f"  ct timeout {timeout.name} {{",
        f"    protocol {protocol}",
        "    l3proto ip",
        f"    policy = {{ {policy} }}",
        "  }",
    ]


def _set_lines(kind: Set, elements: dict[Element, None]) -> list[str]:
    word = "set" if kind.data is None else "map"
    key = f"typeof {kind.typeof}" if kind.typeof else "type " + " . ".join(part.name for part in kind.key)
    data = "" if kind.data is None else f" : {kind.data if isinstance(kind.data, str) else kind.data.name}"
    lines = [f"  {word} {kind.name} {{", f"    {key}{data}"]
    if kind.interval:
        lines.append("    flags interval")
    if kind.room is not None:
        timed = ["    flags dynamic,timeout", "    counter", f"    timeout {KEEP_SECONDS}s"]
        lines += [*(timed if kind.counters else ["    flags dynamic"]), f"    size {kind.room}"]
    if elements:
        shown = sorted(_element_text(kind, element) for element in elements)
        lines += ["    elements = {", *(f"      {text}," for text in shown), "    }"]
    return [*lines, "  }"]


def _element_text(kind: Set, element: Element) -> str:
    ends = element.end or element.key
    parts = []
    for part, low, high in zip(kind.key, element.key, ends, strict=True):
        parts.append(part.show(low) if low == high else f"{part.show(low)}-{part.show(high)}")
    text = " . ".join(parts)
    if element.comment:
        text += f' comment "{element.comment}"'
    if isinstance(element.data, Verdict):
        return f"{text} : {element.data.text}"
    if element.data is not None and isinstance(kind.data, Type):
        return f"{text} : {kind.data.show(element.data)}"
    return text


def _chain_lines(chain: Chain) -> list[str]:
    hook = chain.hook
    head = [f"    type filter hook {hook.name} priority {hook.priority}; policy drop;"] if hook else []
    return [f"  chain {chain.name} {{", *head, *(_rule_line(rule) for rule in chain.rules), "  }"]


def _rule_line(rule: Rule) -> str:
    """nft has no words for changing the header that an ICMP error quotes: those rules exist in netlink only."""
    unspeakable = any(isinstance(term, Rewrite) and term.quoted for term in rule)
    return f"    {'# netlink only: ' if unspeakable else ''}{rule_text(rule)}"
