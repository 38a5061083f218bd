"""Tags of alarms (CloudWatch API Reference: TagResource, UntagResource, ListTagsForResource). Nothing else has tags here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ringfence.api.ops.cloudwatch.serve import bad_value, cloudwatch, not_found
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.nouns.alarm import Alarm, CompositeAlarm, MetricAlarm
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put

MAX_TAGS = 50
_TEXT = re.compile(r"[\w\s.:/=+\-@]*")


def pairs(given: Iterable[Params]) -> Tags:
    return tuple((item["Key"], item["Value"]) for item in given)


def checked_tags(existing: Tags, given: Tags) -> Tags:
    """With what is given in place of what had the same key. ApiError InvalidParameterValue."""
    if len(dict(given)) != len(given):
        raise bad_value("Tag keys must be unique.")
    for key, value in given:
        if key.lower().startswith("aws:") or not _TEXT.fullmatch(key) or not _TEXT.fullmatch(value):
            raise bad_value(f"The tag {key[:128]} is not valid.")
    merged = {**dict(existing), **dict(given)}
    if len(merged) > MAX_TAGS:
        raise bad_value(f"A resource can have at most {MAX_TAGS} tags.")
    return tuple(merged.items())


def stored(alarm: Alarm) -> Change:
    """The alarm in place of itself."""
    if isinstance(alarm, CompositeAlarm):
        return put(COMPOSITE_ALARM, alarm)
    assert isinstance(alarm, MetricAlarm)
    return put(METRIC_ALARM, alarm)


def _tagged(call: Call, world: World, arn: str) -> Alarm:
    """ApiError ResourceNotFoundException, InvalidParameterValue for what is no ARN of CloudWatch."""
    if not arn.startswith("arn:aws:cloudwatch:"):
        raise bad_value(f"The value {arn[:200]} for parameter ResourceARN is invalid.")
    found: Alarm | None = world.find(METRIC_ALARM, arn) or world.find(COMPOSITE_ALARM, arn)
    if found is None or found.owner_id != call.account_id or found.region != call.region:
        raise not_found(f"The resource {arn[:200]} does not exist.")
    return found


@cloudwatch("TagResource")
def tag_resource(call: Call, world: World, params: Params) -> Outcome:
    alarm = _tagged(call, world, params["ResourceARN"])
    return Outcome({}, stored(replace(alarm, tags=checked_tags(alarm.tags, pairs(params["Tags"])))))


@cloudwatch("UntagResource")
def untag_resource(call: Call, world: World, params: Params) -> Outcome:
    alarm = _tagged(call, world, params["ResourceARN"])
    kept = tuple(tag for tag in alarm.tags if tag[0] not in params["TagKeys"])
    return Outcome({}, stored(replace(alarm, tags=kept)))


@cloudwatch("ListTagsForResource")
def list_tags_for_resource(call: Call, world: World, params: Params) -> Outcome:
    alarm = _tagged(call, world, params["ResourceARN"])
    return Outcome({"Tags": [{"Key": key, "Value": value} for key, value in alarm.tags]})
