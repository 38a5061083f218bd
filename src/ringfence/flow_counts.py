"""What the agent's counters hand over, as observations of flow logs: each epoch once, and every hole declared.

An epoch is named by its VPC and its begin. What was taken is confirmed with the next request, and forgotten by the agent
then; handed over again before that (as by another agent), it is not taken again. Each epoch names the one before it: where
that is not the one taken last, counts are missing, and every covered interface of the VPC has a gap (docs/adr/0010).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ringfence.dataplane.counters import ROW
from ringfence.dataplane.nftables.counting import LEAVING, UNSEEN, Place
from ringfence.insight.flowlogs.facts import covered
from ringfence.insight.flowlogs.records import Address, Direction, Gap, Observation, Reject, Taken
from ringfence.model.kinds import FLOW_LOG, NETWORK_INTERFACE
from ringfence.model.world import World

log = logging.getLogger("ringfence.flowlogs")

Name = tuple[str, int]  # VPC and begin of an epoch
#: (what is confirmed, close what is open first?) → the agent's message and the descriptor of its rows. OSError
Ask = Callable[[list[Name], bool], tuple[dict[str, Any], int]]
MINUTE_MS = 60_000
_ICMP = frozenset({1, 58})
_TRIES, _PAUSE_SECONDS = 5, 2.0  # an agent that died is back in a few seconds

#: the layers as `trace` names them
LAYERS = {
    Place.SG_OUT: "sg-egress", Place.ACL_OUT: "nacl-out", Place.ACL_IN: "nacl-in", Place.SG_IN: "sg-ingress",
    Place.DESTINATION: "dest-check",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Epoch:
    """One epoch as the agent tells of it; times in ms."""

    vpc: str
    begin: int
    previous: int
    end: int
    last: bool
    interfaces: list[str]
    rows: int
    lost: dict[str, int]
    pieces: list[str]
    unasked: list[str]


class PlaneCounts:
    """`Observations` of a running data plane. What ended before `since` (seconds) was somebody else's to take."""

    def __init__(self, ask: Ask, world: Callable[[], World], since: float, *, pause: float = _PAUSE_SECONDS) -> None:
        self._ask, self._world, self._since, self._pause = ask, world, round(since * 1000), pause
        self._confirm: list[Name] = []
        self._before: dict[str, _Epoch] = {}  # the newest epoch taken of each VPC that goes on counting
        self.close_open = False  # with the next reading: not only what full minutes have closed

    def take(self) -> Taken:
        result, file = self._answer()
        with os.fdopen(file, "rb") as stream:
            stream.seek(0)  # the place in the file is shared with who wrote it
            rows = stream.read()
        if len(rows) != ROW.size * sum(each["rows"] for each in result["epochs"]):
            raise OSError("the agent sent another number of rows than it told")
        return self._taken(result, rows)

    def _answer(self) -> tuple[dict[str, Any], int]:
        for left in range(_TRIES - 1, -1, -1):
            try:
                return self._ask(self._confirm, self.close_open)
            except OSError as problem:
                if not left:
                    raise
                log.warning("the counters are asked again: %s", problem)
                time.sleep(self._pause)
        raise AssertionError

    def _taken(self, result: dict[str, Any], rows: bytes) -> Taken:
        observations: list[Observation] = []
        gaps: list[Gap] = []
        unasked: list[tuple[str, float]] = []
        at, world = 0, self._world()
        for epoch in (_Epoch(**each) for each in result["epochs"]):
            part, at = rows[at : at + epoch.rows * ROW.size], at + epoch.rows * ROW.size
            before = self._before.get(epoch.vpc)
            if epoch.end <= self._since or (before is not None and epoch.begin <= before.begin):
                continue
            observations += _observations(epoch, part)
            gaps += self._gaps(world, epoch, before)
            unasked += ((id, _within(epoch.begin, epoch.end)) for id in epoch.unasked)
            self._before[epoch.vpc] = epoch
        gaps += self._ended(world, set(result["counting"]), result["until"])
        self._confirm = [(each["vpc"], each["begin"]) for each in result["epochs"]]
        until = result["until"] / 1000
        return Taken(until=until, observations=tuple(observations), gaps=tuple(gaps), unasked=tuple(unasked))

    def _gaps(self, world: World, epoch: _Epoch, before: _Epoch | None) -> Iterator[Gap]:
        if before is not None and not before.last and epoch.previous != before.begin:
            for id in _covered(world, epoch.vpc):
                yield Gap(interface_id=id, first=before.end / 1000, last=epoch.begin / 1000)
        first, last = epoch.begin / 1000, _within(epoch.begin, epoch.end)
        for id, packets in epoch.lost.items():
            for each in [id] if id else epoch.interfaces:
                yield Gap(interface_id=each, first=first, last=last, packets=packets if id else None)
        for id in epoch.pieces:
            yield Gap(interface_id=id, first=first, last=last)
        if epoch.end // MINUTE_MS - epoch.begin // MINUTE_MS > 1:  # nobody closed it in time: which minute was what?
            for id in epoch.interfaces:
                yield Gap(interface_id=id, first=first, last=epoch.end / 1000)

    def _ended(self, world: World, counting: set[str], until: int) -> Iterator[Gap]:
        """VPCs that count no more: as they were told to, or because counters and all are gone."""
        for vpc, epoch in list(self._before.items()):
            if vpc in counting:
                continue
            del self._before[vpc]
            if not epoch.last:
                for id in _covered(world, vpc):
                    yield Gap(interface_id=id, first=epoch.end / 1000, last=until / 1000)


def _covered(world: World, vpc_id: str) -> list[str]:
    ids = dict.fromkeys(id for flow_log in world.all(FLOW_LOG) for id in covered(world, flow_log))
    return [id for id in ids if (eni := world.find(NETWORK_INTERFACE, id)) is not None and eni.vpc_id == vpc_id]


def _within(first: int, end: int) -> float:
    """The last moment (seconds) of what began at `first` and ended at `end` (ms), in the minute of its begin: epochs end a
    little after the minute does."""
    return max(first, min(end, (first // MINUTE_MS + 1) * MINUTE_MS - 1)) / 1000


@lru_cache(maxsize=1 << 16)
def _address(raw: bytes, family: int) -> Address:
    return IPv4Address(raw[:4]) if family == 4 else IPv6Address(raw)


def _observations(epoch: _Epoch, rows: bytes) -> Iterator[Observation]:
    for number, family, protocol, place, flags, sport, dport, source, target, packets, octets, first in ROW.iter_unpack(
        rows
    ):
        where = Place(place)
        refused = LAYERS.get(where)
        yield Observation(
            interface_id=epoch.interfaces[number],
            direction=Direction.EGRESS if where in LEAVING else Direction.INGRESS,
            accepted=refused is None, reject=Reject(layer=refused) if refused else None,
            source=_address(source, family), destination=_address(target, family), protocol=protocol,
            source_port=0 if protocol in _ICMP else sport, destination_port=dport, packets=packets, octets=octets,
            icmp=divmod(sport, 256) if protocol in _ICMP else None,
            tcp_flags=flags if protocol == 6 and not flags & UNSEEN else None, first=first / 1000, last=_within(first, epoch.end),
        )  # fmt: skip
