"""Request rates in force (INF-12), and a record of refusals that a flood of them cannot make grow.

Each (account, Region, action) has a bucket of tokens. Only the event loop takes from them, so that no lock is needed. What is
not served shares one bucket, so that invented names of actions make none.

Of the calls refused for their rate, the first of an account and Region in a minute has a whole audit record; those that
follow are counted, and when the minute is over one record tells how many there were of which action. An account that is
refused a million times leaves two records a minute. A crash loses the count of the running minute, never a call that was done.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire.http import HttpRequest
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource
from ringfence.model.rates import INSTANCES, UNFILTERED_ACTIONS, UNKNOWN, Bucket, bucket_of

WINDOW_SECONDS = 60.0
#: parameters with which an instance action says how many it works on
_IDS = ("InstanceIds", "InstanceId")


class Throttled(ApiError):
    """A call that came too soon after others. SDKs wait and try again."""


def refusal(service: str, protocol: str) -> Throttled:
    """EC2's RequestLimitExceeded (503), Organizations' TooManyRequestsException, S3's SlowDown (503), Throttling of the Query
    protocol's services, ThrottlingException of the others: all of them codes that SDKs retry."""
    code = (
        "RequestLimitExceeded" if service == "ec2"
        else "SlowDown" if service == "s3"
        else "TooManyRequestsException" if service == "organizations"
        else "Throttling" if protocol == "query"
        else "ThrottlingException"
    )  # fmt: skip
    error = fault(code)
    return Throttled(error.code, error.status, error.message)


_Key = tuple[str, str, str, str]
_Held = list[float]  # tokens, when they were counted, capacity, refill


class Rates:
    """The buckets of all accounts; `factor` multiplies AWS's sizes and rates."""

    def __init__(self, factor: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._factor, self._clock = factor, clock
        self._held: dict[_Key, _Held] = {}

    def admit(self, call: Call, request: HttpRequest) -> bool:
        """Take the token of a request. False when there is none."""
        service, action = call.service, call.action
        if action in UNFILTERED_ACTIONS and service == "ec2" and not _narrowed(request):
            action += "?"
        key = (call.principal.account_id, call.region, service, action)
        return self._take(self._held.get(key) or self._bucket(key), 1.0)

    def admit_instances(self, call: Call, params: Params) -> bool:
        """Take as many tokens as the call works on instances, where AWS counts them. False when there are too few."""
        size = INSTANCES.get(call.action) if call.service == "ec2" else None
        if size is None:
            return True
        count = params.get("MaxCount") or max(len(params.get(name) or ()) for name in _IDS)
        key = (call.account_id, call.region, "ec2", call.action + "#")
        return self._take(self._held.get(key) or self._new(key, size), float(count))

    def _bucket(self, key: _Key) -> _Held:
        """The bucket of a served action; all others share one."""
        account, region, service, name = key
        action = name.removesuffix("?")
        if (service, action) in OPERATIONS:
            return self._new(key, bucket_of(service, action, unfiltered=name != action))
        shared = (account, region, "", "")
        return self._held.get(shared) or self._new(shared, UNKNOWN)

    def _new(self, key: _Key, size: Bucket) -> _Held:
        capacity = size.capacity * self._factor
        held = self._held[key] = [capacity, self._clock(), capacity, size.refill * self._factor]
        return held

    def _take(self, held: _Held, tokens: float) -> bool:
        now = self._clock()
        left, before, capacity, refill = held
        left += (now - before) * refill
        if left > capacity:
            left = capacity
        held[1] = now
        enough = left >= tokens
        held[0] = left - tokens if enough else left
        return enough


def _narrowed(request: HttpRequest) -> bool:
    """Does the request filter or paginate?"""
    find = request.body.find  # a quarter of what `in` costs, which first asks whether it is given a number
    if find(b"Filter.1.") >= 0 or find(b"MaxResults=") >= 0 or find(b"NextToken=") >= 0:
        return True
    query = request.query
    return bool(query) and ("Filter.1." in query or "MaxResults=" in query or "NextToken=" in query)


# ---------------------------------------------------------------------- the record of refusals
@dataclass(slots=True)
class _Window:
    """The refusals of one account and Region within a minute, after the first."""

    opened: float
    access_key_id: str
    calls: Counter[str] = field(default_factory=Counter)


class Refusals:
    """Which of the calls refused for their rate get a record of their own, and the records that sum up the others."""

    def __init__(self, ids: IdSource, write: Callable[[bytes], None]) -> None:
        self._ids, self._write = ids, write
        self._windows: dict[tuple[str, str], _Window] = {}
        self._lock = threading.Lock()  # the event loop notes, housekeeping flushes

    def first(self, call: Call) -> bool:
        """Is this the first refusal of its minute, to be recorded whole? If not, it is counted."""
        now, key = call.now.timestamp(), (call.account_id, call.region)
        with self._lock:
            window = self._windows.get(key)
            if window is not None and now < window.opened + WINDOW_SECONDS:
                window.calls[f"{call.service}:{call.action}" if _served(call) else "other"] += 1
                return False
            self._windows[key] = _Window(now, call.principal.access_key_id)
        if window is not None:
            self._sum_up(key, window)
        return True

    def flush(self, now: float | None = None) -> None:
        """Sum up the minutes that are over by `now`, or all of them."""
        with self._lock:
            over = {
                key: window for key, window in self._windows.items()
                if now is None or now >= window.opened + WINDOW_SECONDS
            }  # fmt: skip
            for key in over:
                del self._windows[key]
        for key, window in over.items():
            self._sum_up(key, window)

    def _sum_up(self, key: tuple[str, str], window: _Window) -> None:
        if not window.calls:
            return
        account, region = key
        event = {
            "eventVersion": "1.11",
            "userIdentity": {"type": "Account", "accountId": account, "accessKeyId": window.access_key_id},
            "eventTime": _text(window.opened + WINDOW_SECONDS),
            "eventSource": "ringfence",
            "eventName": "ThrottledCalls",
            "awsRegion": region,
            "sourceIPAddress": "ringfence",
            "userAgent": "ringfence",
            "errorCode": "RequestLimitExceeded",
            "errorMessage": f"{window.calls.total()} more calls were refused for their rate within a minute",
            "requestParameters": None,
            "additionalEventData": {"since": _text(window.opened), "calls": dict(window.calls.most_common())},
            "eventID": self._ids.uuid(),
            "readOnly": True,
            "eventType": "AwsServiceEvent",
            "recipientAccountId": account,
        }
        self._write(json.dumps(event, separators=(",", ":")).encode())


def _served(call: Call) -> bool:
    return (call.service, call.action) in OPERATIONS


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
