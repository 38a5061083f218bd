"""Searching the audit trail: for `ringfence audit` and for CloudTrail's LookupEvents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.store.store import Store

CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for; empty = anything. `since` is compared as text: ISO 8601, UTC. `refused`: only refused calls."""

    event: str = ""
    user: str = ""
    resource: str = ""
    service: str = ""
    since: str = ""
    refused: str = ""

    @property
    def needles(self) -> list[bytes]:
        """What a record's bytes must hold before it is worth reading."""
        return [
            json.dumps(text)[1:-1].encode() for text in (self.event, self.user, self.resource, self.service) if text
        ]

    def fits(self, record: dict[str, Any]) -> bool:
        """Is it one of those? (The resource is a matter of `needles` alone.)"""
        who = record["userIdentity"]
        names = {who.get("accessKeyId"), who.get("arn"), who.get("userName"), who.get("principalId")}
        names |= {name.rpartition("/")[2] for name in names if name}
        return (
            (not self.event or record["eventName"] == self.event)
            and (not self.user or self.user in names)
            and (not self.service or record["eventSource"].split(".")[0] == self.service)
            and (not self.refused or "errorCode" in record)
            and record["eventTime"] >= self.since
        )


def backwards(store: Store) -> Iterator[tuple[int, bytes]]:
    """Records and their numbers, the newest first."""
    before: int | None = None
    while rows := store.audit_records(before=before, limit=CHUNK, newest=True):
        yield from ((row.number, row.record) for row in reversed(rows))
        before = rows[0].number


def newest(store: Store, wanted: Wanted, count: int) -> list[dict[str, Any]]:
    """The newest `count` records that fit, oldest first. Ends at the first one older than `since`."""
    found: list[dict[str, Any]] = []
    needles = wanted.needles
    for _, raw in backwards(store):
        if not all(needle in raw for needle in needles):
            continue
        record = json.loads(raw)
        if record["eventTime"] < wanted.since:
            break
        if wanted.fits(record):
            found.append(record)
            if len(found) == count:
                break
    return found[::-1]
