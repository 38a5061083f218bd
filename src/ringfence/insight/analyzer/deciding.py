"""Which rules let a path's packets through, without asking rule by rule for each packet.

For an address atom, the rules of a set of groups (or the entries of a network ACL) that apply are a list of intervals of
services; the first that holds a service decides. Paths whose lists are the same are told alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.insight.analyzer.scope import Path, Scope
from ringfence.insight.reach.atoms import Interval, code_of, interval
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.groups import far_name
from ringfence.insight.reach.places import WIDTH, Port, inside
from ringfence.policy.ir import Acl, AclEntry, Allow, Group, associated_key
from ringfence.policy.packet import Hop, Layer, RuleRef

#: a rule or entry as a place on the line of services, and how it is named
Rule = tuple[Interval, RuleRef]
#: rules in order of preference: the first whose interval holds a service decides
Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """An element on the way: fixed, or decided by the first of its rules."""

    hop: Hop
    rules: Rules | None = None

    def at(self, point: int) -> Hop:
        """The hop for one service."""
        if self.rules is None:
            return self.hop
        by = next(by for (first, last), by in self.rules if first <= point <= last)
        return Hop(layer=self.hop.layer, allowed=True, by=by, interface=self.hop.interface)


class _Filed:
    """Rules by the block they name, so that those that apply to an atom are on the way from it to the root."""

    def __init__(self, rules: Iterable[tuple[int | None, int, Interval, RuleRef]]) -> None:
        self._by_block: dict[int, dict[int, list[tuple[int, Interval, RuleRef]]]] = {4: {}, 6: {}}
        self._memo: dict[tuple[int, int], tuple[tuple[int, Interval, RuleRef], ...]] = {}
        for order, (family, code, span, by) in enumerate(rules):
            for each in (4, 6) if family is None else (family,):
                self._by_block[each].setdefault(code, []).append((order, span, by))

    def to(self, family: int, atom: int) -> tuple[tuple[int, Interval, RuleRef], ...]:
        """Those that apply to an atom, in order."""
        found = self._memo.get((family, atom))
        if found is None:
            blocks = self._by_block[family]
            out: list[tuple[int, Interval, RuleRef]] = []
            code = atom
            while code:
                out += blocks.get(code, ())
                code >>= 1
            found = self._memo[family, atom] = tuple(sorted(out, key=lambda each: each[0]))
        return found


class Deciding:
    """The gates of paths of one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self.engine = scope, scope.engine
        self._groups: dict[tuple[str, tuple[str, ...], bool], tuple[_Filed, list[tuple[int, Allow, RuleRef]]]] = {}
        self._acls: dict[tuple[str, bool], _Filed] = {}

    def gates(self, path: Path) -> tuple[Gate, ...] | None:
        """The elements of a path in order; None when appliances or peering are on the way, which only the evaluator follows."""
        ports = self.engine.places.ports
        sender, target = ports.get(path.source), ports.get(path.end)
        if path.way.through or path.way.crossed:
            return None
        out: list[Gate] = []
        if sender is not None:
            out += self._sent(path, sender, target)
        else:
            out.append(self._fixed(Layer.GATEWAY, RuleRef(component=path.source)))
            out += self._edge(path)
        if sender is not None and target is None:
            served = path.end in self.engine.places.endpoints
            out.append(self._fixed(Layer.ENDPOINT if served else Layer.GATEWAY, RuleRef(component=path.end)))
        if target is not None:
            out += self._received(path, sender, target)
        return tuple(out)

    def _fixed(self, layer: Layer, by: RuleRef, eni: str | None = None) -> Gate:
        return Gate(Hop(layer=layer, allowed=True, by=by, interface=eni))

    def _sent(self, path: Path, sender: Port, target: Port | None) -> Iterator[Gate]:
        yield self._fixed(Layer.SOURCE_CHECK, RuleRef(component=sender.eni_id), sender.eni_id)
        yield self._group(Layer.SG_EGRESS, path, sender, path.dst, target)
        if not _within(sender, path.family, path.dst):
            yield self._acl(Layer.NACL_OUT, path, sender, path.dst)
            yield from self._routed(path, sender.net.table_id, path.dst)

    def _routed(self, path: Path, table_id: str, dst: int) -> Iterator[Gate]:
        route = self.engine.routes(table_id).to(path.family, self.engine.atom(path.family, dst))
        if route is not None:
            yield self._fixed(Layer.NO_ROUTE, RuleRef(component=table_id, rule=str(route.destination)))

    def _edge(self, path: Path) -> Iterator[Gate]:
        gate = next(gate for gate in self.engine.places.gateways if gate.gateway_id == path.source)
        if gate.table_id is not None:
            yield from self._routed(path, gate.table_id, path.way.dst)

    def _received(self, path: Path, sender: Port | None, target: Port) -> Iterator[Gate]:
        if sender is None or not _within(target, path.family, path.src):
            yield self._acl(Layer.NACL_IN, path, target, path.way.src)
        yield self._group(Layer.SG_INGRESS, path, target, path.way.src, sender)

    # ------------------------------------------------------------------ rules
    def _group(self, layer: Layer, path: Path, port: Port, remote: int, other: Port | None) -> Gate:
        """Rules with blocks in order, those that name a group of the other interface among them."""
        egress = layer is Layer.SG_EGRESS
        filed, naming = self._filed(port, egress=egress)
        rules = filed.to(path.family, self.engine.atom(path.family, remote))
        if naming:
            carried = set(other.groups) if other is not None else set()
            if egress:  # a peer's IPv6 address, by whatever way
                for way in self.engine.places.vpcs[port.vpc_id].crossings.values():
                    carried.update(self.engine.carried_there(way, path.family, remote))
            named = [
                (order, interval(rule.match), by) for order, rule, by in naming
                if not carried.isdisjoint(_names(rule)) and rule.match.family in (None, path.family)
            ]  # fmt: skip
            rules = tuple(sorted((*rules, *named), key=lambda each: each[0]))
        hop = Hop(layer=layer, allowed=True, by=RuleRef(component=port.eni_id), interface=port.eni_id)
        return Gate(hop, tuple((span, by) for _, span, by in rules))

    def _filed(self, port: Port, *, egress: bool) -> tuple[_Filed, list[tuple[int, Allow, RuleRef]]]:
        key = (port.vpc_id, port.groups, egress)
        found = self._groups.get(key)
        if found is None:
            every = [
                (rule, RuleRef(component=group.group_id, rule=rule.rule_id))
                for group in (_group(self.engine, id, port.vpc_id) for id in port.groups)
                for rule in (group.egress if egress else group.ingress)
            ]
            filed = _Filed(_entry(rule, by) for rule, by in every)
            naming = [(order, rule, by) for order, (rule, by) in enumerate(every) if rule.match.group is not None]
            found = self._groups[key] = filed, naming
        return found

    def _acl(self, layer: Layer, path: Path, port: Port, remote: int) -> Gate:
        egress, id = layer is Layer.NACL_OUT, port.net.acl_id
        filed = self._acls.get((id, egress))
        if filed is None:
            acl = self.engine.ir.fragments["Acl", id]
            assert isinstance(acl, Acl)
            entries = acl.egress if egress else acl.ingress
            filed = self._acls[id, egress] = _Filed(
                _entry(entry, RuleRef(component=id, rule=str(entry.number))) for entry in entries
            )
        rules = filed.to(path.family, self.engine.atom(path.family, remote))
        hop = Hop(layer=layer, allowed=True, by=RuleRef(component=id), interface=port.eni_id)
        return Gate(hop, tuple((span, by) for _, span, by in rules))


def _names(rule: Allow) -> Iterator[str]:
    """The group that a rule names, and its name as one of a peer VPC."""
    match = rule.match
    if match.group is not None:
        yield match.group
        if match.peer is not None:
            yield far_name(match.group, match.peer)


def _group(engine: Engine, id: str, vpc_id: str) -> Group:
    found = engine.ir.fragments.get(("Group", id))
    if not isinstance(found, Group) or found.vpc_id != vpc_id:
        found = engine.ir.fragments["Group", associated_key(id, vpc_id)]
    assert isinstance(found, Group)
    return found


def _entry(rule: Allow | AclEntry, by: RuleRef) -> tuple[int | None, int, Interval, RuleRef]:
    """A rule as `_Filed` takes it; one that names a group is filed where no atom leads."""
    match = rule.match
    if match.group is not None:
        return match.family, 0, interval(match), by
    family = match.remote.version if match.remote is not None else match.family
    return family, 1 if match.remote is None else code_of(match.remote), interval(match), by


def _within(port: Port, family: int, address: int) -> bool:
    return inside(port.net.blocks[family], WIDTH[family], address)


def bounds(gates: Iterable[Gate]) -> list[int]:
    """Where rules begin and end on the line of services."""
    out: set[int] = set()
    for gate in gates:
        for (first, last), _ in gate.rules or ():
            out |= {first, last + 1}
    return sorted(out)
