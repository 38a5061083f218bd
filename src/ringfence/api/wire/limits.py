"""What the EC2 model declares about a value beyond its type: enum, range, length, pattern.

Sources: the constraints of the service model; EC2 API Reference "Error codes": InvalidParameterValue, or the code of
its own that a shape has in `_OWN`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from ringfence.model.errors import ApiError, fault

#: shapes whose constraint has an error code of its own: shape -> (code, message with {value})
_OWN = {
    "VpcTenancy": ("UnsupportedTenancy", "The tenancy value {value} is not supported."),
    "ImageNameRequest": ("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long."),
    "InstanceAttributeName": (
        "InvalidParameterValue",
        "Value ({value}) for parameter attribute is invalid. Unknown attribute.",
    ),
}

#: enums that take any letter case: clients send network ACL actions as `ALLOW`
_ANY_CASE = frozenset({"RuleAction"})
_NO_INSTANCES = ("InvalidParameterCombination", "No instances specified")
#: required members whose absence has a code or message of its own
_ABSENT = {
    ("StartInstancesRequest", "InstanceIds"): _NO_INSTANCES,
    ("StopInstancesRequest", "InstanceIds"): _NO_INSTANCES,
    ("TerminateInstancesRequest", "InstanceIds"): _NO_INSTANCES,
    ("RebootInstancesRequest", "InstanceIds"): _NO_INSTANCES,
    ("CreateTagsRequest", "Resources"): ("MissingParameter", "The request must contain the parameter resourceIdSet"),
    ("DeleteTagsRequest", "Resources"): ("MissingParameter", "The request must contain the parameter resourceIdSet"),
    ("CreateTagsRequest", "Tags"): ("MissingParameter", "The request must contain the parameter tagSet"),
}
#: shapes whose pattern no text can match: it has a `^` in its middle
_UNMATCHABLE = frozenset({"PlacementGroupArn"})

#: shapes of Reachability Analyzer and Network Access Analyzer only, whose operations take more here than AWS's: IPv6 addresses
#: and every protocol. The operations check them.
_WIDER = frozenset({"IpAddress", "Protocol"})


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern; None when it uses what only the expressions of other languages know."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def enum_value(shape: Any, text: str, path: str) -> str:
    """The text as the model spells it; letter case matters but for `_ANY_CASE`. ApiError when it is none of the values."""
    values = shape.metadata.get("enum")
    if not values or text in values or shape.name in _WIDER:
        return text
    if shape.name in _ANY_CASE and text.lower() in values:
        return text.lower()
    raise _refused(shape, text, f"Value ({text[:200]}) for parameter {path} is invalid.")


def absent(structure: Any, member: str, wire_name: str) -> ApiError:
    """The error for a required member that was not given."""
    code, message = _ABSENT.get((structure.name, member), ("MissingParameter", None))
    return fault(code, message=message) if message else fault(code, name=wire_name)


def check(shape: Any, value: Any, path: str) -> None:
    """Range of a number, length of a text or a list, pattern of a text. ApiError when one is not kept."""
    metadata = shape.metadata
    if shape.name in _WIDER:
        return
    if "min" in metadata or "max" in metadata:
        number = isinstance(value, int | float)
        size = value if number else len(value)
        low, high = metadata.get("min", size), metadata.get("max", size)
        if not low <= size <= high:
            raise _out_of_range(shape, value, path, "value" if number else "length")
    pattern = metadata.get("pattern")
    if pattern and isinstance(value, str) and shape.name not in _UNMATCHABLE:
        compiled = _compiled(pattern)
        if compiled is not None and not compiled.fullmatch(value):
            raise _refused(shape, value, f"Value ({value[:200]}) for parameter {path} is invalid.")


def _out_of_range(shape: Any, value: Any, path: str, what: str) -> ApiError:
    """AWS: `Value ( 1 ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.`"""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is None or high is None:
        bounds = f"of at least {low}" if high is None else f"of at most {high}"
    else:
        bounds = f"between {low} and {high}"
    shown = f"{len(value)} items" if isinstance(value, list) else str(value)[:200]
    name = path[:1].lower() + path[1:]
    return _refused(shape, shown, f"Value ( {shown} ) for parameter {name} is invalid. Expecting a {what} {bounds}.")


def _refused(shape: Any, value: str, message: str) -> ApiError:
    code, own = _OWN.get(shape.name, ("InvalidParameterValue", None))
    return fault(code, message=own.format(value=value[:200]) if own else message)
