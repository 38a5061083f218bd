"""LookupEvents (CloudTrail API Reference): the account's management events of the last 90 days, the newest first (MON-13)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.record import is_data_event, resources_of, shown
from ringfence.model.errors import fault
from ringfence.model.world import World

KEPT = timedelta(days=90)
PAGE = 50
#: services that are the same in every Region; their events are found in us-east-1
GLOBAL_HOME = "us-east-1"


@operation("cloudtrail:LookupEvents", mutating=False, aside=True)
def lookup_events(call: Call, world: World, params: Params) -> Outcome:
    """One attribute at most. InvalidLookupAttributesException, InvalidTimeRangeException, InvalidNextTokenException."""
    if params.get("EventCategory"):
        raise fault("UnsupportedOperationException", message="Insights events are not served by this installation.")
    attributes = params.get("LookupAttributes") or ()
    if len(attributes) > 1:
        raise fault("InvalidLookupAttributesException", message="You can specify only one lookup attribute.")
    wanted = attributes[0] if attributes else None
    start, end = params.get("StartTime") or call.now - KEPT, params.get("EndTime") or call.now
    if start > end:
        raise fault("InvalidTimeRangeException", message="The start time is after the end time.")
    count = params.get("MaxResults") or PAGE
    if not 1 <= count <= PAGE:
        raise fault("InvalidMaxResultsException", message=f"MaxResults must be between 1 and {PAGE}.")
    below = _position(params.get("NextToken"))
    found: list[tuple[int, dict[str, Any]]] = []
    try:
        for number, event in _events(call, wanted, max(start, call.now - KEPT), end):
            if below is not None and number >= below:
                continue
            found.append((number, event))
            if len(found) > count:
                break
    except OSError as problem:  # a record that was tampered with: no answer that leaves it out
        raise fault("InternalFailure", message=f"The audit trail is damaged: {problem}") from None
    token = {"NextToken": _token(found[count - 1][0])} if len(found) > count else {}
    return Outcome({"Events": [_view(event) for _, event in found[:count]], **token})


def _events(call: Call, wanted: Params | None, start: datetime, end: datetime) -> Iterator[tuple[int, dict[str, Any]]]:
    needles = [json.dumps(call.account_id).encode()]
    if wanted is not None and wanted["AttributeKey"] not in ("ReadOnly", "ResourceType"):
        needles.append(json.dumps(wanted["AttributeValue"])[1:-1].encode())
    first, last = (moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") for moment in (start, end))
    for number, raw in call.outside.events(needles):
        event = json.loads(raw)
        at = event["eventTime"][:19]
        if at < first:
            return
        if at <= last and _here(call, event) and (wanted is None or _fits(wanted, event)):
            yield number, event


def _here(call: Call, event: Mapping[str, Any]) -> bool:
    """Events of the account, in the Region where they happened."""
    if event.get("recipientAccountId") != call.account_id or is_data_event(event):
        return False
    region = event.get("awsRegion") or GLOBAL_HOME
    return (GLOBAL_HOME if region == "aws-global" else region) == call.region


def _fits(wanted: Params, event: Mapping[str, Any]) -> bool:
    value = wanted["AttributeValue"]
    key = wanted["AttributeKey"]
    if key in ("ResourceType", "ResourceName"):
        return any(value == resource[key] for resource in resources_of(event))
    return bool(_ATTRIBUTES[key](event) == value)


def user_of(event: Mapping[str, Any]) -> str | None:
    """The name CloudTrail looks a caller up by: the user's, the session's, or `root`."""
    who = event["userIdentity"]
    if who.get("userName"):
        return str(who["userName"])
    if who.get("type") == "Root":
        return "root"
    arn = str(who.get("arn") or "")
    return arn.rpartition("/")[2] or None


_ATTRIBUTES: dict[str, Any] = {
    "EventId": lambda event: event["eventID"],
    "EventName": lambda event: event["eventName"],
    "ReadOnly": lambda event: "true" if event.get("readOnly") else "false",
    "Username": user_of,
    "EventSource": lambda event: event["eventSource"],
    "AccessKeyId": lambda event: event["userIdentity"].get("accessKeyId"),
}


def _view(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "EventId": event["eventID"], "EventName": event["eventName"], "ReadOnly": _ATTRIBUTES["ReadOnly"](event),
        "AccessKeyId": event["userIdentity"].get("accessKeyId"), "EventTime": datetime.fromisoformat(event["eventTime"]),
        "EventSource": event["eventSource"], "Username": user_of(event), "Resources": resources_of(event),
        "CloudTrailEvent": json.dumps(shown(event), separators=(",", ":")),
    }  # fmt: skip


def _token(number: int) -> str:
    return base64.urlsafe_b64encode(f"before {number}".encode()).decode()


def _position(token: str | None) -> int | None:
    if token is None:
        return None
    try:
        word, _, number = base64.urlsafe_b64decode(token).decode().partition(" ")
        if word != "before" or not number.isdigit():
            raise ValueError
        return int(number)
    except (ValueError, binascii.Error):  # UnicodeDecodeError is a ValueError
        raise fault("InvalidNextTokenException", message="The token is not valid.") from None
