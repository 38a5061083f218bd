"""Tags on IAM resources (IAM User Guide: "Tags for IAM resources"): their rules, and the operations of every kind.

AWS: tag keys differ from EC2's: `Costs` and `costs` are one key, and the case in which it was first written is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.pages import page
from ringfence.api.ops.iam.serve import serve
from ringfence.model.errors import fault
from ringfence.model.kinds import Kind
from ringfence.model.row import Row, Tags
from ringfence.model.world import World, put

Find = Callable[[Call, World, Params], Row]


def parse(call: Call, given: Iterable[Params], existing: Tags = ()) -> Tags:
    """`existing` overlaid with a list of {Key, Value}. ApiError InvalidInput for a doubled key, LimitExceeded."""
    held = {key.lower(): (key, value) for key, value in existing}
    seen: set[str] = set()
    for tag in given:
        key, value = tag["Key"], tag.get("Value", "")
        if key.lower() in seen:
            raise fault(
                "InvalidInput", message="Duplicate tag keys found. Please note that Tag keys are case insensitive."
            )
        if key.lower().startswith("aws:"):
            raise fault("InvalidInput", message="Tag keys that begin with 'aws:' are reserved for AWS use.")
        seen.add(key.lower())
        held[key.lower()] = (held.get(key.lower(), (key,))[0], value)
    if len(held) > call.limits["iam-tags"]:
        raise fault("LimitExceeded", message="The number of tags has reached the maximum limit.")
    return tuple(held.values())


def without(tags: Tags, keys: Iterable[str]) -> Tags:
    """`tags` less some keys; keys that are not there are passed over."""
    gone = {key.lower() for key in keys}
    return tuple((key, value) for key, value in tags if key.lower() not in gone)


def shown(tags: Tags) -> list[dict[str, str]]:
    """Tags as the API shows them."""
    return [{"Key": key, "Value": value} for key, value in tags]


def member(tags: Tags) -> dict[str, Any]:
    """The Tags member of a reply. AWS: left out when there is none."""
    return {"Tags": shown(tags)} if tags else {}


def tag_operations(noun: str, kind: Kind[Any], find: Find) -> None:
    """Serve Tag, Untag and List…Tags for a noun; `find` is given the call's parameters and finds the row."""

    def tag(call: Call, world: World, params: Params) -> Outcome:
        row = find(call, world, params)
        return Outcome({}, put(kind, replace(row, tags=parse(call, params["Tags"], row.tags))))

    def untag(call: Call, world: World, params: Params) -> Outcome:
        row = find(call, world, params)
        return Outcome({}, put(kind, replace(row, tags=without(row.tags, params["TagKeys"]))))

    def listing(call: Call, world: World, params: Params) -> Outcome:
        tags, more = page(find(call, world, params).tags, params, key=lambda tag: tag[0])
        return Outcome({"Tags": shown(tuple(tags)), **more})

    for action, handler in ((f"Tag{noun}", tag), (f"Untag{noun}", untag), (f"List{noun}Tags", listing)):
        handler.__module__ = find.__module__
        serve(action, handler)
