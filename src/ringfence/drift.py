"""What the watch over the installed rules has found so far: counters, the last report, and events of the audit trail (MON-23).

`DriftCounts.metrics` is for whoever serves metrics: names and values, nothing to do with the agent.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ringfence.model.kinds import INTERNET_GATEWAY, VPC
from ringfence.model.world import World

SOURCE, EVENT = "ringfence.amazonaws.com", "EnforcementDrift"
SHOWN = 100  # findings of one event: a namespace whose tables are gone has many


class DriftCounts:
    """Counted since this process started. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: Counter[tuple[str, str]] = Counter()  # (how it differs, what) → how many
        self._repaired = self._reports = self._proven = 0
        self._last: dict[str, Any] = {}
        self._left: dict[str, int] = {}
        self._closed: list[str] = []

    def add(self, report: Mapping[str, Any], now: datetime) -> None:
        """One report of the agent."""
        with self._lock:
            self._reports += 1
            self._found.update((each["drift"], each["what"]) for each in report["findings"])
            self._repaired += max(0, len(report["findings"]) - len(report["left"]))
            self._left = dict(Counter(str(each["place"]) for each in report["left"]))
            self._closed = list(report["closed"])
            self._last = {"at": now.isoformat(), "findings": len(report["findings"]), "repaired": report["repaired"],
                          "problems": report["problems"]}  # fmt: skip
            if report["proven"] is not None:
                self._proven = report["proven"]
                self._last["proven"] = report["proven"]

    def as_json(self) -> dict[str, Any]:
        """For `ringfence status`."""
        with self._lock:
            return {
                "found": sum(self._found.values()), "repaired": self._repaired, "left": sum(self._left.values()),
                "closed": self._closed, "last": self._last or None,
            }  # fmt: skip

    def metrics(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """(name, labels, value): counters end in `_total`, the others are gauges."""
        with self._lock:
            for (drift, what), count in sorted(self._found.items()):
                yield "ringfence_drift_found_total", {"drift": drift, "what": what}, count
            yield "ringfence_drift_repaired_total", {}, self._repaired
            yield "ringfence_drift_left", {}, sum(self._left.values())
            yield "ringfence_drift_closed", {}, len(self._closed)
            yield "ringfence_verified_gates", {}, self._proven


def events(report: Mapping[str, Any], world: World, now: datetime) -> Iterator[bytes]:
    """One event for each VPC or gateway that differed, as CloudTrail tells of what nobody called (CloudTrail User Guide,
    "Non-API events captured by CloudTrail"), to the account that has it."""
    places: dict[str, list[Any]] = {each: [] for each in report["closed"]}
    for finding in report["findings"]:
        places.setdefault(finding["place"], []).append(finding)
    for place, findings in places.items():
        account, region = _owner(world, place)
        yield json.dumps({
            "eventVersion": "1.11", "userIdentity": {"accountId": account, "invokedBy": SOURCE, "type": "AWSService"},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "eventSource": SOURCE, "eventName": EVENT,
            "awsRegion": region, "sourceIPAddress": SOURCE, "userAgent": SOURCE, "requestParameters": None,
            "responseElements": None, "requestID": str(uuid.uuid4()), "eventID": str(uuid.uuid4()), "readOnly": False,
            "eventType": "AwsServiceEvent", "recipientAccountId": account,
            "serviceEventDetails": {
                "place": place, "repaired": report["repaired"], "closed": place in report["closed"],
                "findings": findings[:SHOWN], "more": max(0, len(findings) - SHOWN),
            },
        }).encode()  # fmt: skip


def _owner(world: World, place: str) -> tuple[str, str]:
    vpc = world.find(VPC, place)
    if vpc is not None:
        return vpc.owner_id, vpc.region
    gateway = world.find(INTERNET_GATEWAY, place)
    return (gateway.owner_id, gateway.region) if gateway is not None else ("", "")
