"""Event selectors (CloudTrail API Reference: PutEventSelectors, GetEventSelectors): which management events a trail delivers.

Only management events exist here: selectors for data events, network activity and insights are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ringfence.api.ops.cloudtrail.trails import find
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.record import is_data_event
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import TRAIL
from ringfence.model.nouns.trail import Trail
from ringfence.model.world import World, put

ALL_MANAGEMENT = {
    "ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []
}  # fmt: skip
_FIELDS = {"eventCategory", "eventSource", "readOnly", "eventName", "userIdentity.arn", "sessionCredentialFromConsole"}
_OPERATORS = ("Equals", "StartsWith", "EndsWith", "NotEquals", "NotStartsWith", "NotEndsWith")


def _invalid(message: str) -> ApiError:
    return fault("InvalidEventSelectorsException", message=message)


@operation("cloudtrail:PutEventSelectors")
def put_event_selectors(call: Call, world: World, params: Params) -> Outcome:
    """Basic or advanced selectors, not both. InvalidEventSelectorsException."""
    trail = find(call, world, params["TrailName"])
    basic, advanced = params.get("EventSelectors"), params.get("AdvancedEventSelectors")
    if bool(basic) == bool(advanced):
        raise _invalid("Give either event selectors or advanced event selectors.")
    for selector in basic or ():
        _check_basic(selector)
    for selector in advanced or ():
        _check_advanced(selector)
    kept = {"EventSelectors": [ALL_MANAGEMENT | s for s in basic]} if basic else {"AdvancedEventSelectors": advanced}
    return Outcome({"TrailARN": trail.id, **kept}, put(TRAIL, replace(trail, selectors=json.dumps(kept))))


def _check_basic(selector: Params) -> None:
    if selector.get("DataResources"):
        raise _invalid("Data events are not served by this installation.")
    if selector.get("ReadWriteType", "All") not in ("All", "ReadOnly", "WriteOnly"):
        raise _invalid("Invalid ReadWriteType.")
    for source in selector.get("ExcludeManagementEventSources") or ():
        if source not in ("kms.amazonaws.com", "rdsdata.amazonaws.com"):
            raise _invalid(f"{source[:100]} cannot be excluded.")


def _check_advanced(selector: Params) -> None:
    fields = {field["Field"]: field for field in selector["FieldSelectors"]}
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise _invalid(f"The field {unknown[0][:100]} is not supported for management events.")
    if fields.get("eventCategory", {}).get("Equals") != ["Management"]:
        raise _invalid("Only eventCategory Equals Management is served by this installation.")
    for name, field in fields.items():
        if not any(field.get(operator) for operator in _OPERATORS):
            raise _invalid(f"The field {name} has no operator.")


@operation("cloudtrail:GetEventSelectors")
def get_event_selectors(call: Call, world: World, params: Params) -> Outcome:
    trail = find(call, world, params["TrailName"])
    return Outcome({"TrailARN": trail.id, **selectors_of(trail)})


def selectors_of(trail: Trail) -> dict[str, Any]:
    """A trail's selectors; without any, all management events."""
    return json.loads(trail.selectors) if trail.selectors else {"EventSelectors": [ALL_MANAGEMENT]}


# ---------------------------------------------------------------------- what a trail delivers
def delivers(trail: Trail, event: Mapping[str, Any], region: str) -> bool:
    """Does the trail deliver this event, which happened in `region` (`aws-global` is a global service's)?"""
    if is_data_event(event):
        return False
    if region in ("", "aws-global"):
        if not trail.global_events:
            return False
    elif region != trail.region and not trail.multi_region:
        return False
    selectors = selectors_of(trail)
    if "AdvancedEventSelectors" in selectors:
        return any(_advanced(selector, event) for selector in selectors["AdvancedEventSelectors"])
    return any(_basic(selector, event) for selector in selectors["EventSelectors"])


def _basic(selector: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    kind, read = selector.get("ReadWriteType", "All"), bool(event.get("readOnly"))
    return bool(selector.get("IncludeManagementEvents", True)) and (kind == "All" or (kind == "ReadOnly") == read)


def _advanced(selector: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    values = {
        "eventCategory": "Management", "eventSource": event["eventSource"], "eventName": event["eventName"],
        "readOnly": "true" if event.get("readOnly") else "false",
        "userIdentity.arn": event["userIdentity"].get("arn", ""), "sessionCredentialFromConsole": "false",
    }  # fmt: skip
    return all(_field(field, values[field["Field"]]) for field in selector["FieldSelectors"])


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "StartsWith": lambda value, wanted: value.startswith(wanted),
    "EndsWith": lambda value, wanted: value.endswith(wanted),
}


def _field(field: Mapping[str, Any], value: str) -> bool:
    """Every operator given must hold; positive ones for any of their values, negated ones for all."""
    for name, test in _TESTS.items():
        if field.get(name) and not any(test(value, wanted) for wanted in field[name]):
            return False
        if field.get(f"Not{name}") and any(test(value, wanted) for wanted in field[f"Not{name}"]):
            return False
    return True
