"""Guard rails: the paths of a scope that a change would open, before it is made.

Both configurations are put on the same atoms, and only paths with an end that the change may touch are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ringfence.insight.analyzer.deciding import Deciding
from ringfence.insight.analyzer.findings import judged
from ringfence.insight.analyzer.scope import Path, Scope, refined
from ringfence.insight.analyzer.statements import Content
from ringfence.insight.analyzer.views import owner_of
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address
from ringfence.insight.reach.space import Space
from ringfence.insight.reach.words import brief
from ringfence.model.kinds import PEERING_CONNECTION
from ringfence.model.world import World
from ringfence.policy.ir import Acl, Fragment, Group, GroupMembers, Interface, Machine, Names, PeerMembers, RouteTable
from ringfence.policy.packet import Hop, Layer

_BY_STATE = "tracked"  # what the evaluator says where no rule was asked
_SAID = {
    Layer.SG_EGRESS: "{rule} of {component}", Layer.SG_INGRESS: "{rule} of {component}",
    Layer.NACL_OUT: "entry {rule} of {component}", Layer.NACL_IN: "entry {rule} of {component}",
    Layer.NO_ROUTE: "route {rule} of {component}", Layer.GATEWAY: "{component}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """A path that a change opens, or (`unknown`) of which it cannot be told."""

    text: str


def opened(
    before: tuple[World, Engine], after: tuple[World, Engine], content: Content, account_id: str, region: str
) -> Iterator[Opened]:  # fmt: skip
    """The paths of a scope that are possible after a change and were not before."""
    touched = _touched(before[1], after[1])
    if not touched:
        return
    old, new = _aligned(refined(before[1], content), refined(after[1], content))
    was = Scope(before[0], old, content, account_id, region, touched)
    now = Scope(after[0], new, content, account_id, region, touched)
    known = {path.key: path.space for path in was.paths()}
    nothing = Space(new.services)
    for path in now.paths():
        space = path.space.minus(known.get(path.key, nothing))
        if space:
            yield Opened(_described(now, replace(path, space=space)))
    if now.unknown is not None and was.unknown is None:
        yield Opened(_unknown(now.unknown))


def _aligned(old: Engine, new: Engine) -> tuple[Engine, Engine]:
    """On the same atoms."""
    services = new.services.with_cuts(set(old.services.starts))
    prefixes = {family: new.prefixes[family].with_codes(set(old.prefixes[family].codes)) for family in (4, 6)}
    return old.on(services, prefixes), new.on(services, prefixes)


# ---------------------------------------------------------------------- what a change may touch
def _touched(before: Engine, after: Engine) -> frozenset[str]:
    """The interfaces at one end of every path that may differ."""
    was, now = before.ir.fragments, after.ir.fragments
    changed = [fragment for key, fragment in now.items() if was.get(key) is not fragment]
    changed += [fragment for key, fragment in was.items() if now.get(key) is not fragment]
    out: set[str] = set()
    whole: set[str | None] = set()
    for fragment in changed:
        if isinstance(fragment, Interface) and fragment.eni_id not in before.appliances | after.appliances:
            out.add(fragment.eni_id)
        elif not isinstance(
            fragment, GroupMembers | PeerMembers | Names
        ):  # members and names change with their interfaces
            whole |= _vpc_of(fragment, before, after)
            out |= _near(fragment, before) | _near(fragment, after)
        elif isinstance(fragment, PeerMembers):  # what egress rules that name them let leave by the connection
            whole.add(fragment.vpc_id)
    for engine in (before, after):
        out |= {port.eni_id for port in engine.places.ports.values() if port.vpc_id in whole or None in whole}
    return frozenset(out)


def _vpc_of(fragment: Fragment, before: Engine, after: Engine) -> set[str | None]:
    """The VPC that may change as a whole: of what is more than rules of some interfaces, or when packets take detours."""
    detours = {
        engine.places.ports[eni].vpc_id for engine in (before, after) for eni in engine.appliances
        if eni in engine.places.ports
    }  # fmt: skip
    small = isinstance(fragment, Group | Acl | RouteTable | Machine) and fragment.vpc_id not in detours
    return set() if small else {getattr(fragment, "vpc_id", None)}  # None: of any VPC


def _near(fragment: Fragment, engine: Engine) -> set[str]:
    """The interfaces that a fragment is about."""
    ports = engine.places.ports.values()
    if isinstance(fragment, Group):
        return {port.eni_id for port in ports if fragment.group_id in port.groups}
    if isinstance(fragment, Acl):
        return {port.eni_id for port in ports if port.net.acl_id == fragment.acl_id}
    if isinstance(fragment, RouteTable):
        edges = {gate.vpc_id for gate in engine.places.gateways if gate.table_id == fragment.table_id}
        return {port.eni_id for port in ports if port.net.table_id == fragment.table_id or port.vpc_id in edges}
    if isinstance(fragment, Machine):
        return {
            each.eni_id for each in engine.ir.fragments.values()
            if isinstance(each, Interface) and each.instance_id == fragment.instance_id
        }  # fmt: skip
    return set()


# ---------------------------------------------------------------------- words
def _described(scope: Scope, path: Path) -> str:
    """From where to where, which packets, and the rules that would let them through."""
    make = number_to_address
    ends = []
    for end, address in ((path.source, path.src), (path.end, path.dst)):
        inside = end in scope.engine.places.ports
        ends.append(f"{end} ({make(path.family, address)})" if inside or path.atom is None else end)
    rules = ", ".join(_rules(scope, path))
    return f"{ends[0]} to {ends[1]}, {brief(path.space)}, let through by {rules}"


def _rules(scope: Scope, path: Path) -> list[str]:
    """Of its first packet, those of the scope's own account; of what else is on the way, the connection and appliances."""
    (first, _), sources = next(path.space.ranges())
    gates = Deciding(scope).gates(path)
    hops: Iterable[Hop] = (
        (gate.at(first) for gate in gates) if gates is not None else judged(scope, path, first, sources)
    )
    return list(dict.fromkeys(text for hop in hops for text in _said(scope, path, hop)))


def _said(scope: Scope, path: Path, hop: Hop) -> Iterator[str]:
    component, rule = hop.by.component, hop.by.rule
    if component.startswith(PEERING_CONNECTION.prefix):
        yield component
    elif hop.layer is Layer.SOURCE_CHECK and component in path.way.through:
        yield f"{component}, which passes it on"
    elif hop.layer in _SAID and rule != _BY_STATE and owner_of(scope.world, component) == scope.account_id:
        yield _SAID[hop.layer].format(rule=rule, component=component)


def _unknown(unknown: Unknown) -> str:
    return f"whether a path is opened cannot be told: {unknown.component}: {unknown.why}"
