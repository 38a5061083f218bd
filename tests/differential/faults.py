"""Seeded faults: ways to be wrong that peers and prototypes have been wrong in. Each must be killed by the differential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ringfence.policy import evaluate, ir
from ringfence.policy.compile import Compiler
from ringfence.policy.evaluate import Gate
from ringfence.policy.flows import Flows, Found
from ringfence.policy.packet import RuleRef
from tests.differential import neighbour_faults
from tests.differential.compare import Run

Seed = Callable[[pytest.MonkeyPatch], Any]  # patches, and may return another compiler class
FAULTS: dict[str, Seed] = {}


def fault(seed: Seed) -> Seed:
    FAULTS[seed.__name__.replace("_", "-")] = seed
    return seed


def rewritten(rewrite: Callable[[Any], Any]) -> type[Compiler]:
    """A compiler whose fragments pass through `rewrite`."""

    class Faulty(Compiler):
        def compile(self, world: Any) -> ir.Ir:
            made = super().compile(world)
            return ir.Ir(made.generation, {key: rewrite(fragment) for key, fragment in made.fragments.items()})

    return Faulty


def every_match(change: Callable[[ir.Match], ir.Match]) -> type[Compiler]:
    """A compiler that changes every condition of groups and ACLs."""

    def rewrite(fragment: Any) -> Any:
        if isinstance(fragment, ir.Group | ir.Acl):
            ingress = tuple(replace(rule, match=change(rule.match)) for rule in fragment.ingress)
            egress = tuple(replace(rule, match=change(rule.match)) for rule in fragment.egress)
            return replace(fragment, ingress=ingress, egress=egress)  # type: ignore[arg-type]
        return fragment

    return rewritten(rewrite)


def gate(patch: pytest.MonkeyPatch, wrong: Callable[..., Gate | None]) -> None:
    """Ask `wrong` before the true security group decision."""
    true = evaluate.security_groups

    def wrapped(*args: Any, **more: Any) -> Gate:
        return wrong(*args, **more) or true(*args, **more)

    patch.setattr(evaluate, "security_groups", wrapped)


YES = Gate(True, RuleRef(component="fault"))


@fault
def acl_inside_a_subnet(patch: pytest.MonkeyPatch) -> Any:
    patch.setattr(evaluate, "in_subnet", lambda *_: False)


@fault
def acl_order_reversed(patch: pytest.MonkeyPatch) -> Any:
    return rewritten(
        lambda f: replace(f, ingress=f.ingress[::-1], egress=f.egress[::-1]) if isinstance(f, ir.Acl) else f
    )


@fault
def acl_denies_ignored(patch: pytest.MonkeyPatch) -> Any:
    return rewritten(
        lambda f: (
            replace(f, ingress=tuple(e for e in f.ingress if e.allow), egress=tuple(e for e in f.egress if e.allow))
            if isinstance(f, ir.Acl)
            else f
        )
    )


@fault
def acl_implicit_deny_missing(patch: pytest.MonkeyPatch) -> Any:
    true = evaluate.network_acl

    def wrong(*args: Any, **more: Any) -> Any:
        allowed, by = true(*args, **more)
        return (True, by) if by.rule == "*" else (allowed, by)

    patch.setattr(evaluate, "network_acl", wrong)


def _acl_way_skipped(patch: pytest.MonkeyPatch, *, egress: bool) -> None:
    true = evaluate.network_acl

    def wrong(index: Any, acl: str, packet: Any, **more: Any) -> Any:
        return (True, RuleRef(component=acl)) if more["egress"] is egress else true(index, acl, packet, **more)

    patch.setattr(evaluate, "network_acl", wrong)


@fault
def acl_outbound_skipped(patch: pytest.MonkeyPatch) -> Any:
    _acl_way_skipped(patch, egress=True)


@fault
def acl_inbound_skipped(patch: pytest.MonkeyPatch) -> Any:
    _acl_way_skipped(patch, egress=False)


@fault
def receivers_gate_skipped(patch: pytest.MonkeyPatch) -> Any:
    gate(patch, lambda *_, egress, **_more: None if egress else YES)


@fault
def senders_gate_skipped(patch: pytest.MonkeyPatch) -> Any:
    gate(patch, lambda *_, egress, **_more: YES if egress else None)


@fault
def ipv6_open(patch: pytest.MonkeyPatch) -> Any:
    gate(patch, lambda _i, _e, packet, **_more: YES if packet.family == 6 else None)


@fault
def always_established(patch: pytest.MonkeyPatch) -> Any:
    gate(
        patch,
        lambda _i, eni, packet, flows, now, **_more: (
            YES if flows.find(eni.eni_id, packet, now).mark is not None else None
        ),
    )


@fault
def state_never_used(patch: pytest.MonkeyPatch) -> Any:
    patch.setattr(Flows, "find", lambda *_: Found(None, True))


@fault
def single_connection_entry(patch: pytest.MonkeyPatch) -> Any:
    find, admit = Flows.find, Flows.admit
    patch.setattr(Flows, "find", lambda self, _eni, packet, now: find(self, "all", packet, now))
    patch.setattr(Flows, "admit", lambda self, _eni, *more: admit(self, "all", *more))


@fault
def flush_on_change(patch: pytest.MonkeyPatch) -> Any:
    true = Run._compiled

    def wrong(self: Run) -> Any:
        if self.world is not self.rows:
            self.flows = Flows()
        return true(self)

    patch.setattr(Run, "_compiled", wrong)


@fault
def everything_tracked(patch: pytest.MonkeyPatch) -> Any:
    patch.setattr(evaluate, "_untracked", lambda *_, **_more: False)


@fault
def everything_untracked(patch: pytest.MonkeyPatch) -> Any:
    patch.setattr(evaluate, "_untracked", lambda _rule, packet, *_, **_more: packet.protocol in (6, 17))


@fault
def source_port_matched(patch: pytest.MonkeyPatch) -> Any:
    true = evaluate.matches
    patch.setattr(evaluate, "matches", lambda m, p, r, g: true(m, replace(p, sport=p.dport, dport=p.sport), r, g))


@fault
def numeric_protocol_is_all(patch: pytest.MonkeyPatch) -> Any:
    return every_match(lambda m: m if m.protocol in (None, 1, 6, 17, 58) else replace(m, protocol=None))


@fault
def icmp_type_ignored(patch: pytest.MonkeyPatch) -> Any:
    return every_match(lambda m: replace(m, icmp_type=None, icmp_code=None))


@fault
def icmp_code_ignored(patch: pytest.MonkeyPatch) -> Any:
    return every_match(lambda m: replace(m, icmp_code=None))


@fault
def range_end_excluded(patch: pytest.MonkeyPatch) -> Any:
    def shorter(match: ir.Match) -> ir.Match:
        if match.ports is None or match.ports.first == match.ports.last:
            return match
        return replace(match, ports=replace(match.ports, last=match.ports.last - 1))

    return every_match(shorter)


@fault
def group_references_through_a_middlebox(patch: pytest.MonkeyPatch) -> Any:
    true = evaluate._admits
    patch.setattr(evaluate, "_admits", lambda *seen, **more: true(*seen, **more | {"direct": True}))


@fault
def group_references_never_match(patch: pytest.MonkeyPatch) -> Any:
    patch.setattr(evaluate, "named_members", lambda *_, **_more: frozenset())


@fault
def only_the_first_group_counts(patch: pytest.MonkeyPatch) -> Any:
    return rewritten(lambda f: replace(f, groups=f.groups[:1]) if isinstance(f, ir.Interface) else f)


@fault
def first_route_wins(patch: pytest.MonkeyPatch) -> Any:
    def first(routes: Any, address: Any) -> Any:
        return next((r for r in routes if r.destination.version == address.version and address in r.destination), None)

    patch.setattr(evaluate, "longest", first)


@fault
def ipv6_follows_the_ipv4_default_route(patch: pytest.MonkeyPatch) -> Any:
    true = evaluate.longest

    def wrong(routes: Any, address: Any) -> Any:
        return true(routes, address) or next((r for r in routes if r.destination.prefixlen == 0), None)

    patch.setattr(evaluate, "longest", wrong)


@fault
def blackholes_forward(patch: pytest.MonkeyPatch) -> Any:
    def open_route(route: ir.Route) -> ir.Route:
        return replace(route, via=ir.Via.LOCAL) if route.via is ir.Via.INTERFACE else route

    return rewritten(
        lambda f: replace(f, routes=tuple(open_route(r) for r in f.routes)) if isinstance(f, ir.RouteTable) else f
    )


@fault
def source_check_off(patch: pytest.MonkeyPatch) -> Any:
    return rewritten(lambda f: replace(f, source_dest_check=False) if isinstance(f, ir.Interface) else f)


@fault
def gateway_needs_no_public_address(patch: pytest.MonkeyPatch) -> Any:
    def wrong(fragment: Any) -> Any:
        if not isinstance(fragment, ir.Edge):
            return fragment
        return replace(fragment, nat=fragment.nat[:-1])

    return rewritten(wrong)


@fault
def refused_packets_leave_state(patch: pytest.MonkeyPatch) -> Any:
    """The tables are kept as they were when the last group had let a packet through that is then dropped."""
    true, end = evaluate.security_groups, evaluate._Journey._end
    early: list[Flows] = []

    def wrong(index: Any, eni: Any, packet: Any, *, flows: Flows, **more: Any) -> Gate:
        made = true(index, eni, packet, flows=flows, **more)
        early.append(flows.admit(eni.eni_id, packet, made.mark, eni.timeouts, 0.0))  # before the network ACL was asked
        return made

    def wrong_end(self: Any, at: str | None, packet: Any) -> Any:
        if at is None and early:
            self.flows = early[-1]
        early.clear()
        return end(self, at, packet)

    patch.setattr(evaluate, "security_groups", wrong)
    patch.setattr(evaluate._Journey, "_end", wrong_end)


#: sought in neighbouring VPCs made of rows (tests.differential.compare.Neighbours): those of what is between them, and
#: some that packets there meet sooner
NEIGHBOUR_FAULTS: dict[str, Seed] = {
    name: FAULTS.pop(name)
    for name in (
        "always-established", "everything-tracked", "group-references-through-a-middlebox", "icmp-code-ignored",
    )
} | neighbour_faults.SEEDS  # fmt: skip
