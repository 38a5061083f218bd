"""Keeps what counters report, with the reason of refusals, for `ringfence flows` (D-16)."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ringfence.exposition import Family, counter, gauge
from ringfence.insight.flowlogs.facts import facts_of
from ringfence.insight.flowlogs.openings import Opening, openings
from ringfence.insight.flowlogs.records import Direction, Facts, Observation, Taken
from ringfence.insight.flowlogs.suggest import Use, suggest
from ringfence.insight.flowlogs.why import explained
from ringfence.model.kinds import SECURITY_GROUP
from ringfence.model.net import protocol_name
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World
from ringfence.policy.compile import Compiler
from ringfence.policy.evaluate import Index
from ringfence.store.flows import Flow, FlowStore

log = logging.getLogger("ringfence.flowlogs")
MOST_AT_ONCE = 10_000


class FlowHistory:
    """Told of each reading of the counters. What cannot be kept is said and let go: flow logs are delivered all the same."""

    def __init__(self, store: FlowStore) -> None:
        self._store, self._compiler = store, Compiler()
        self.counting = False  # has anything ever been counted?
        self._packets: Counter[str] = Counter()  # "accepted", or the layer that refused → packets since the start
        self._gaps = self._until = 0.0

    def seen(self, world: World, taken: Taken) -> None:
        """A reading of the counters."""
        self.counting, self._until = True, taken.until
        self._gaps += len(taken.gaps)
        for seen in taken.observations:
            self._packets["accepted" if seen.accepted else seen.reject.layer if seen.reject else "unknown"] += (
                seen.packets
            )
        try:
            self._store.put(self._flows(world, taken), taken.until)
        except sqlite3.Error as problem:
            log.error("flows are not kept for `ringfence flows`: %s", problem)

    def measures(self) -> Iterator[Family]:
        """Of interfaces that flow logs cover, since the start; nothing while nothing was counted."""
        if not self.counting:
            return
        packets = dict(self._packets)
        yield counter(
            "flow_packets_accepted_total", "Packets that flow logs count as accepted.", packets.pop("accepted", 0)
        )
        dropped = counter("dropped_packets_total", "Packets refused at interfaces that flow logs cover, by layer.")
        for reason, count in sorted(packets.items()):
            dropped.add(count, reason=reason)
        yield dropped
        yield counter("flow_gaps_total", "Gaps in counts, each told as SKIPDATA.", self._gaps)
        yield gauge(
            "flow_counts_age_seconds", "Since what counters had was read last.", max(time.time() - self._until, 0.0)
        )

    def _flows(self, world: World, taken: Taken) -> Iterator[Flow]:
        index: Index | None = None
        known: dict[str, Facts | None] = {}
        for seen in taken.observations:
            if seen.interface_id not in known:
                known[seen.interface_id] = facts_of(world, seen.interface_id)
            facts = known[seen.interface_id]
            if facts is None:
                continue
            if seen.reject is not None and index is None:
                index = Index(self._compiler.compile(world))
            yield _flow(seen, facts, index)


def _flow(seen: Observation, facts: Facts, index: Index | None) -> Flow:
    reason = explained(index, seen) if index is not None else seen.reject
    source_port, port = seen.ports
    return Flow(
        first=seen.first, last=seen.last, account=facts.account_id, region=facts.region, vpc=facts.vpc_id,
        subnet=facts.subnet_id, interface=facts.interface_id, instance=facts.instance_id,
        direction=seen.direction.value, accepted=seen.accepted, source=seen.source, destination=seen.destination,
        source_port=source_port, destination_port=port, protocol=seen.protocol, packets=seen.packets,
        octets=seen.octets, flags=seen.tcp_flags, layer=reason.layer if reason else None,
        component=reason.component if reason else None, rule=reason.rule if reason else None,
    )  # fmt: skip


# ---------------------------------------------------------------------- what the command asks
def answer(history: FlowHistory, store: FlowStore, request: dict[str, Any]) -> dict[str, Any]:
    """Flows, or what has the most of them; `error` with status 2 for a question that makes no sense."""
    wanted = {str(name): str(value) for name, value in request.get("wanted", {}).items()}
    limit = max(1, min(int(request.get("limit", 1000)), MOST_AT_ONCE))
    try:
        if request.get("top"):
            by = [str(name) for name in request["top"]]
            rows = store.top(by, wanted, limit=limit, packets=bool(request.get("packets")))
            found: dict[str, Any] = {"top": [
                {**dict(zip(by, keys, strict=True)), "flows": flows, "packets": packets, "bytes": octets}
                for keys, flows, packets, octets in rows
            ]}  # fmt: skip
        else:
            after = int(request.get("after", 0))
            flows = store.find(wanted, after=after, limit=limit, newest=not request.get("oldest"))
            found = {"flows": [view(flow) for flow in flows], "last": flows[-1].number if flows else after}
    except ValueError as problem:
        return {"error": str(problem), "status": 2}
    except OSError as problem:
        return {"error": f"{problem}: --since TIME leaves it out"}
    return {**found, "counting": history.counting}


def view(flow: Flow) -> dict[str, Any]:
    """A flow with AWS's names of fields, and our reason beside them."""
    shown: dict[str, Any] = {
        "account-id": flow.account, "region": flow.region, "vpc-id": flow.vpc, "subnet-id": flow.subnet,
        "interface-id": flow.interface, "instance-id": flow.instance, "srcaddr": str(flow.source),
        "dstaddr": str(flow.destination), "srcport": flow.source_port, "dstport": flow.destination_port,
        "protocol": flow.protocol, "packets": flow.packets, "bytes": flow.octets, "start": flow.first, "end": flow.last,
        "action": "ACCEPT" if flow.accepted else "REJECT", "flow-direction": flow.direction, "tcp-flags": flow.flags,
    }  # fmt: skip
    if flow.layer is not None:
        shown["ringfence-reason"] = {"layer": flow.layer, "component": flow.component, "rule": flow.rule}
    return shown


# ---------------------------------------------------------------------- what rules were needed for
def suggestions(world: World, store: FlowStore, request: dict[str, Any]) -> dict[str, Any]:
    """Which rules were never needed and which could be narrower, with the proof; `error` with status 2 for bad questions."""
    wanted = {str(name): str(value) for name, value in request.get("wanted", {}).items()}
    groups = frozenset(str(id) for id in request.get("groups") or ())
    unknown = [id for id in groups if world.find(SECURITY_GROUP, id) is None]
    if unknown:
        return {"error": f"there is no security group {', '.join(unknown)}", "status": 2}
    counted = {"flows": 0, "from": None, "to": None}
    try:
        found = suggest(world, openings(_observed(store, wanted, counted)), groups or None)
    except ValueError as problem:
        return {"error": str(problem), "status": 2}
    except OSError as problem:
        return {"error": f"{problem}: --since TIME leaves it out"}
    return {
        "observed": counted, "rules": [_use_view(use) for use in found.uses],
        "proof": {
            "sound": found.proof.sound, "replayed": found.proof.replayed, "unexplained": found.proof.unexplained,
            "refused": [_opening_view(one) for one in found.proof.refused[:10]],
            "opened": [entry.title() for entry in found.proof.opened],
            "unknown": [entry.title() for entry in found.proof.unknown], "closed": found.proof.closed,
        },
    }  # fmt: skip


def _observed(store: FlowStore, wanted: dict[str, str], counted: dict[str, Any]) -> Iterator[Observation]:
    """Everything accepted that is kept, a part at a time."""
    after = 0
    while part := store.find({**wanted, "action": "ACCEPT"}, after=after, limit=MOST_AT_ONCE, newest=False):
        for flow in part:
            counted["flows"] += 1
            counted["from"] = min(counted["from"] or flow.first, flow.first)
            counted["to"] = max(counted["to"] or flow.last, flow.last)
            yield Observation(
                interface_id=flow.interface, direction=Direction(flow.direction), accepted=True, source=flow.source,
                destination=flow.destination, protocol=flow.protocol, packets=flow.packets, octets=flow.octets,
                first=flow.first, last=flow.last, source_port=flow.source_port, destination_port=flow.destination_port,
                tcp_flags=flow.flags,
            )  # fmt: skip
        after = part[-1].number


def _use_view(use: Use) -> dict[str, Any]:
    return {
        "group": use.group.id, "rule": _rule_view(use.rule), "verdict": use.verdict,
        "conversations": len(use.openings), "packets": sum(one.packets for one in use.openings),
        "bytes": sum(one.octets for one in use.openings),
        "instead": None if use.instead is None else [_rule_view(rule) for rule in use.instead],
        "uncovered": list(use.uncovered),
    }  # fmt: skip


def _rule_view(rule: SecurityGroupRule) -> dict[str, Any]:
    peer = rule.cidr or rule.prefix_list_id or (rule.group and rule.group.group_id)
    return {
        "id": rule.id, "direction": "egress" if rule.egress else "ingress", "protocol": protocol_name(rule.protocol),
        "from_port": rule.from_port, "to_port": rule.to_port, "peer": str(peer),
    }  # fmt: skip


def _opening_view(one: Opening) -> str:
    ports = f"{one.source}:{one.source_port} > {one.destination}:{one.destination_port}"
    return f"{one.interface_id} {one.direction} {ports} protocol {one.protocol}"
