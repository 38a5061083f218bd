"""Tags of log groups, in both generations of the API (CloudWatch Logs API Reference: TagResource, TagLogGroup …).

Only log groups have tags here; an ARN of anything else is not found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.serve import find_group, invalid, logs
from ringfence.model.errors import fault
from ringfence.model.kinds import LOG_GROUP
from ringfence.model.nouns.log import LogGroup
from ringfence.model.row import Tags
from ringfence.model.world import World, put

MAX_TAGS = 50
_KEY = re.compile(r"[\w\s.:/=+\-@]{1,128}")
_VALUE = re.compile(r"[\w\s.:/=+\-@]{0,256}")
_ARN = re.compile(r"arn:aws:logs:[a-z0-9-]+:[0-9]{12}:(log-group|destination|delivery[a-z-]*|anomaly-detector):.+")


def checked_tags(existing: Tags, given: Mapping[str, str]) -> Tags:
    """ApiError InvalidParameterException, TooManyTagsException."""
    for key, value in given.items():
        if not _KEY.fullmatch(key) or key.lower().startswith("aws:"):
            raise invalid(f"The tag key '{key[:128]}' is not valid.")
        if not _VALUE.fullmatch(value):
            raise invalid(f"The value of the tag '{key}' is not valid.")
    merged = {**dict(existing), **given}
    if len(merged) > MAX_TAGS:
        raise fault("TooManyTagsException", message=f"A resource can have at most {MAX_TAGS} tags.")
    return tuple(merged.items())


def _resource(call: Call, world: World, arn: str) -> LogGroup:
    """ApiError ResourceNotFoundException, InvalidParameterException for what is no ARN of CloudWatch Logs."""
    if not _ARN.fullmatch(arn):
        raise invalid(f"Invalid ARN: {arn[:200]}")
    found = world.find(LOG_GROUP, arn.removesuffix(":*"))
    if found is None or found.owner_id != call.account_id or found.region != call.region:
        raise fault("ResourceNotFoundException", message="The specified resource does not exist.")
    return found


@logs("TagResource")
def tag_resource(call: Call, world: World, params: Params) -> Outcome:
    return _with(_resource(call, world, params["resourceArn"]), params["tags"])


@logs("UntagResource")
def untag_resource(call: Call, world: World, params: Params) -> Outcome:
    return _without(_resource(call, world, params["resourceArn"]), params["tagKeys"])


@logs("ListTagsForResource")
def list_tags_for_resource(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"tags": dict(_resource(call, world, params["resourceArn"]).tags)})


@logs("TagLogGroup")
def tag_log_group(call: Call, world: World, params: Params) -> Outcome:
    return _with(find_group(call, world, params["logGroupName"]), params["tags"])


@logs("UntagLogGroup")
def untag_log_group(call: Call, world: World, params: Params) -> Outcome:
    return _without(find_group(call, world, params["logGroupName"]), params["tags"])


@logs("ListTagsLogGroup")
def list_tags_log_group(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"tags": dict(find_group(call, world, params["logGroupName"]).tags)})


def _with(group: LogGroup, tags: Mapping[str, str]) -> Outcome:
    return Outcome({}, put(LOG_GROUP, replace(group, tags=checked_tags(group.tags, tags))))


def _without(group: LogGroup, keys: list[str]) -> Outcome:
    return Outcome({}, put(LOG_GROUP, replace(group, tags=tuple(tag for tag in group.tags if tag[0] not in keys))))
