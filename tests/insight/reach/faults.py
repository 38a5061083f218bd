"""Seeded faults of the reachability engine: ways to be wrong that analysers have been wrong in. The differential must kill each.

Left out, because no conversation shows them: private sources that leave, or enter, through the gateway. The answer to such a
packet finds no way home, whatever the gateway does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from ringfence.insight.reach import acls, atoms, engine, gateway, groups, places, router, walk
from ringfence.insight.reach.acls import AclTable
from ringfence.insight.reach.atoms import Prefixes, Services
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.groups import GroupSet, Way
from ringfence.insight.reach.journey import Back
from ringfence.insight.reach.routes import Routes
from ringfence.insight.reach.space import Space
from ringfence.insight.reach.walk import Walk
from ringfence.policy.ir import Match, Via
from ringfence.policy.packet import Layer

Seed = Callable[[pytest.MonkeyPatch], Any]
FAULTS: dict[str, Seed] = {}


def fault(seed: Seed) -> Seed:
    FAULTS[seed.__name__.replace("_", "-")] = seed
    return seed


# ---------------------------------------------------------------------- network ACLs
def _entries(patch: pytest.MonkeyPatch, wrong: Callable[[list[acls.Coded]], Iterable[acls.Coded]]) -> None:
    true = acls._first_match
    patch.setattr(acls, "_first_match", lambda entries, family, atom: true(list(wrong(list(entries))), family, atom))


@fault
def acl_order_reversed(patch: pytest.MonkeyPatch) -> None:
    _entries(patch, lambda entries: reversed(entries))


@fault
def acl_inside_a_subnet(patch: pytest.MonkeyPatch) -> None:
    true = walk.inside
    never = [*places.UNROUTED_CODES.values()]
    patch.setattr(walk, "inside", lambda blocks, width, address: blocks in never and true(blocks, width, address))


@fault
def acl_denies_ignored(patch: pytest.MonkeyPatch) -> None:
    _entries(patch, lambda entries: [entry for entry in entries if entry[3]])


@fault
def acl_implicit_deny_missing(patch: pytest.MonkeyPatch) -> None:
    _entries(patch, lambda entries: [*entries, (None, 1, -1, True)])


def _acl_skipped(patch: pytest.MonkeyPatch, **where: bool) -> None:
    true = Walk._acl

    def wrong(self: Walk, layer: Layer, port: Any, *, egress: bool) -> None:
        if egress is where.get("egress", egress) and self.phase.reply is where.get("reply", self.phase.reply):
            return
        true(self, layer, port, egress=egress)

    patch.setattr(Walk, "_acl", wrong)


@fault
def acl_outbound_skipped(patch: pytest.MonkeyPatch) -> None:
    _acl_skipped(patch, egress=True)


@fault
def acl_inbound_skipped(patch: pytest.MonkeyPatch) -> None:
    _acl_skipped(patch, egress=False)


@fault
def acl_not_asked_about_answers(patch: pytest.MonkeyPatch) -> None:
    _acl_skipped(patch, reply=True)


@fault
def acl_asked_for_the_wrong_remote(patch: pytest.MonkeyPatch) -> None:
    true = AclTable.allowed
    patch.setattr(AclTable, "allowed", lambda self, egress, family, _atom: true(self, egress, family, 1))


# ---------------------------------------------------------------------- security groups
def _gate(patch: pytest.MonkeyPatch, egress: bool) -> None:
    true = GroupSet.by_block
    patch.setattr(GroupSet, "by_block", lambda self, out, *more: -1 if out is egress else true(self, out, *more))


@fault
def senders_gate_skipped(patch: pytest.MonkeyPatch) -> None:
    _gate(patch, True)


@fault
def receivers_gate_skipped(patch: pytest.MonkeyPatch) -> None:
    _gate(patch, False)


@fault
def references_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GroupSet, "by_group", lambda *_: 0)


@fault
def references_hold_behind_an_appliance(patch: pytest.MonkeyPatch) -> None:
    true = Walk._groups

    def wrong(self: Walk, layer: Layer, port: Any, *, egress: bool, direct: bool, over: Any = None) -> None:
        true(self, layer, port, egress=egress, direct=True, over=over)

    patch.setattr(Walk, "_groups", wrong)


@fault
def only_the_first_group_counts(patch: pytest.MonkeyPatch) -> None:
    true = GroupSet.__init__
    patch.setattr(GroupSet, "__init__", lambda self, tables: true(self, tables[:1]))


@fault
def rules_of_one_family_hold_for_the_other(patch: pytest.MonkeyPatch) -> None:
    true = Way.at

    def wrong(self: Way, family: int, atom: int) -> int:
        return true(self, family, atom) | self.blocks[10 - family].get(1, 0)

    patch.setattr(Way, "at", wrong)


@fault
def narrow_blocks_hide_wide_ones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(groups, "_inherited", lambda blocks: blocks)


# ---------------------------------------------------------------------- state
@fault
def answers_asked_the_rules(patch: pytest.MonkeyPatch) -> None:
    true = Back._ask
    patch.setattr(
        Back, "_ask", lambda self, layer, component, lets, _held, eni: true(self, layer, component, lets, 0, eni)
    )


@fault
def answers_of_every_kind_held(patch: pytest.MonkeyPatch) -> None:
    true = Back._ask

    def wrong(self: Back, layer: Layer, component: Any, lets: int, held: int, eni: Any) -> None:
        groups_ask = layer in (Layer.SG_EGRESS, Layer.SG_INGRESS)
        true(self, layer, component, lets, self.services.full if groups_ask else held, eni)

    patch.setattr(Back, "_ask", wrong)


@fault
def answers_judged_by_the_questions_port(patch: pytest.MonkeyPatch) -> None:
    true = Back._ask

    def wrong(self: Back, layer: Layer, component: Any, lets: int, held: int, eni: Any) -> None:
        kept = [(wanted & (lets | held), sources) for wanted, sources in self.ports]
        true(self, layer, component, lets, held, eni)
        self.ports = [part for part in kept if part[0]]

    patch.setattr(Back, "_ask", wrong)


@fault
def pings_answered_by_pings(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Services, "asking", lambda _self, answers: answers)


# ---------------------------------------------------------------------- services
def _interval(patch: pytest.MonkeyPatch, wrong: Callable[[Match, int, int], tuple[int, int]]) -> None:
    true = atoms.interval
    for module in (atoms, engine):
        patch.setattr(module, "interval", lambda match: wrong(match, *true(match)))


@fault
def ranges_end_one_early(patch: pytest.MonkeyPatch) -> None:
    _interval(patch, lambda match, first, last: (first, last - (match.ports is not None and last > first)))


@fault
def ranges_begin_one_late(patch: pytest.MonkeyPatch) -> None:
    _interval(patch, lambda match, first, last: (first + (match.ports is not None and last > first), last))


@fault
def udp_is_tcp(patch: pytest.MonkeyPatch) -> None:
    true = atoms.interval
    for module in (atoms, engine):
        patch.setattr(module, "interval", lambda m: true(replace(m, protocol=6) if m.protocol == 17 else m))


@fault
def icmp_codes_ignored(patch: pytest.MonkeyPatch) -> None:
    true = atoms.interval
    for module in (atoms, engine):
        patch.setattr(module, "interval", lambda match: true(replace(match, icmp_code=None)))


@fault
def all_protocols_are_tcp_udp_icmp(patch: pytest.MonkeyPatch) -> None:
    true = Services.of
    patch.setattr(
        Services,
        "of",
        lambda self, match: true(self, match) & (-1 if match.protocol else self.mask(0, atoms.OTHER - 1)),
    )


# ---------------------------------------------------------------------- routes and addresses
@fault
def shortest_prefix_wins(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Routes, family: int, atom: int) -> Any:
        sizes = range(atom.bit_length() - 1, -1, -1)
        return next((r for n in sizes if (r := self._by_block[family].get(atom >> n)) is not None), None)

    patch.setattr(Routes, "to", wrong)


@fault
def every_route_is_local(patch: pytest.MonkeyPatch) -> None:
    true = Routes.to

    def wrong(self: Routes, family: int, atom: int) -> Any:
        route = true(self, family, atom)
        return route and replace(route, via=Via.LOCAL)

    patch.setattr(Routes, "to", wrong)


@fault
def source_check_ignored(patch: pytest.MonkeyPatch) -> None:
    true = Walk.from_interface

    def wrong(self: Walk, port: Any) -> Any:
        return true(self, replace(port, check=False))

    patch.setattr(Walk, "from_interface", wrong)


@fault
def destination_check_ignored(patch: pytest.MonkeyPatch) -> None:
    true = Walk._arrive

    def wrong(self: Walk, port: Any, **more: bool) -> Any:
        return true(self, replace(port, check=False), **more)

    patch.setattr(Walk, "_arrive", wrong)


@fault
def appliances_keep_what_they_get(patch: pytest.MonkeyPatch) -> None:
    true = Walk._arrive

    def wrong(self: Walk, port: Any, **more: bool) -> Any:
        return None if self.dst not in port.addresses[self.family] else true(self, port, **more)

    patch.setattr(Walk, "_arrive", wrong)


@fault
def multicast_is_routed(patch: pytest.MonkeyPatch) -> None:
    """Reaches the gateway, which refuses it too, unless that also forgets what is private."""
    patch.setattr(walk, "UNROUTED_CODES", {4: (), 6: ()})
    patch.setattr(gateway, "public", lambda *_: True)


# ---------------------------------------------------------------------- gateway and router
@fault
def private_destinations_leave(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gateway, "public", lambda *_: True)


@fault
def addresses_not_exchanged_on_the_way_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gateway, "entering", lambda _gate, _family, _src, dst, **_: dst)


@fault
def services_are_not_the_routers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(router, "keeps", lambda *_: False)


@fault
def the_router_answers_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(router, "served", lambda services, *_: services.full)


# ---------------------------------------------------------------------- after a change
@fault
def changes_unnoticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "update", lambda self, _ir: self)


@fault
def sets_of_groups_outlive_their_rules(patch: pytest.MonkeyPatch) -> None:
    true = Engine.update

    def wrong(self: Engine, ir: Any) -> Engine:
        new = true(self, ir)
        if new.services is self.services:
            new._sets = dict(self._sets)
        return new

    patch.setattr(Engine, "update", wrong)


@fault
def address_atoms_not_refined(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Prefixes, "with_codes", lambda self, _codes: self)


@fault
def source_ports_ignored(patch: pytest.MonkeyPatch) -> None:
    true = Space.of

    def wrong(services: Services, parts: Any, plain: int) -> Space:
        return true(services, [(wanted, services.ported) for wanted, _ in parts], plain)

    patch.setattr(Space, "of", staticmethod(wrong))
