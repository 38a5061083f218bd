"""Keeps what counters report, with the reason of refusals, for `ringfence flows` (D-16)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

from ringfence.insight.flowlogs.facts import facts_of
from ringfence.insight.flowlogs.records import Facts, Observation, Taken
from ringfence.insight.flowlogs.why import explained
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

    def seen(self, world: World, taken: Taken) -> None:
        """A reading of the counters."""
        self.counting = True
        try:
            self._store.put(self._flows(world, taken), taken.until)
        except sqlite3.Error as problem:
            log.error("flows are not kept for `ringfence flows`: %s", problem)

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
