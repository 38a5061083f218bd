"""Calls that fail when a VPC's network address usage would pass its quota (Amazon VPC User Guide: "Exceeding NAU Quotas"; MON-10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.model.network_usage import peers, usage, weight
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.world import Change, Put, World

Handler = Callable[[Call, World, Params], Outcome]


def within_address_usage(handler: Handler) -> Handler:
    """The operation, refused where what it changes would be too much. ApiError NetworkAddressUsageLimitExceeded,
    NetworkAddressUsagePeeredLimitExceeded."""

    @wraps(handler)
    def handle(call: Call, world: World, params: Params) -> Outcome:
        outcome = handler(call, world, params)
        _check(call, world, outcome.change)
        return outcome

    return handle


def _check(call: Call, world: World, change: Change) -> None:
    more, new_peers = _grown(world, change)
    for vpc_id in {*(vpc for vpc, units in more.items() if units > 0), *new_peers}:
        own = usage(world, vpc_id) + more[vpc_id]
        if more[vpc_id] > 0:
            call.check_quota("network-address-usage", own, vpc=vpc_id)
        around = {*peers(world, vpc_id), *new_peers.get(vpc_id, ())} - {vpc_id}
        for center in {vpc_id, *around}:
            group = {center, *peers(world, center), *new_peers.get(center, ())}
            if len(group) > 1:
                units = sum(usage(world, each) + more[each] for each in group)
                call.check_quota("peered-network-address-usage", units, vpc=center)


def _grown(world: World, change: Change) -> tuple[Counter[str], dict[str, set[str]]]:
    """Units that are new, by VPC; and who becomes a peer of whom."""
    latest: dict[str, NetworkInterface] = {}
    new_peers: dict[str, set[str]] = {}
    for step in change.steps:
        row = step.row if isinstance(step, Put) else None
        if isinstance(row, NetworkInterface):
            latest[row.id] = row
        elif isinstance(row, PeeringConnection) and row.same_region:
            near, far = row.requester.vpc_id, row.accepter.vpc_id
            new_peers.setdefault(near, set()).add(far)
            new_peers.setdefault(far, set()).add(near)
    more: Counter[str] = Counter()
    for row in latest.values():
        before = world.find(NETWORK_INTERFACE, row.id)
        more[row.vpc_id] += weight(world, row) - (weight(world, before) if before is not None else 0)
    return more, new_peers
