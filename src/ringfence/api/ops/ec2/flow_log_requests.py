"""What CreateFlowLogs may ask for, checked without looking at the World (FL-01 … FL-07, FL-43, FL-52; D-09).

Texts of errors are those recorded from AWS where the spec's rows have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.tagging import tags_on_create
from ringfence.insight.flowlogs.fields import DEFAULT, BadFormat, parse_format
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import FLOW_LOG, NETWORK_INTERFACE, SUBNET, VPC, Kind
from ringfence.model.nouns.flow_log import CLOUD_WATCH, FIREHOSE, S3, FlowLog

RESOURCES: Mapping[str, Kind[Any]] = {"VPC": VPC, "Subnet": SUBNET, "NetworkInterface": NETWORK_INTERFACE}
#: resource types of AWS's that nothing here can be
_ELSEWHERE = frozenset(
    {"TransitGateway", "TransitGatewayAttachment", "RegionalNatGateway", "CoreNetwork", "CoreNetworkEdge", "CoreNetworkAttachment"}
)  # fmt: skip
_MOST_RESOURCES, _MOST_TAG_KEYS = 300, 2
_INTERVALS, _FORMATS = (60, 600), ("plain-text", "parquet")
_BUCKET = re.compile(r"arn:aws:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9!_.*'()/=-]*)?)")
_GROUP = re.compile(r"[A-Za-z0-9_/.#-]{1,512}")
_GROUP_ARN = re.compile(r"arn:aws:logs:([a-z0-9-]+):([0-9]{12}):log-group:([A-Za-z0-9_/.#-]{1,512})(:\*)?")
_STREAM = re.compile(r"arn:aws:firehose:([a-z0-9-]+):([0-9]{12}):deliverystream/([A-Za-z0-9_.-]{1,64})")
_ROLE = re.compile(r"arn:aws:iam::[0-9]{12}:role/[\x21-\x7e]{1,576}")
_TAGGED = ("network-interface", "instance", "auto-scaling-group")


def _bad(text: str) -> ApiError:
    return fault("InvalidParameter", message=text)


def requested(call: Call, params: Params) -> FlowLog:
    """The flow log as asked for, without id and resource. InvalidParameter, MissingParameter, UnsupportedOperation."""
    _check_resources(params)
    traffic = params.get("TrafficType")
    if not traffic:  # FL-02
        raise fault("MissingParameter", name="TrafficType")
    if traffic not in ("ACCEPT", "REJECT", "ALL"):
        raise _bad(f"Invalid Flow Log Traffic Type: {traffic[:50]}")
    interval = params.get("MaxAggregationInterval")
    if interval is not None and interval not in _INTERVALS:  # FL-03
        raise _bad("Invalid Flow Log Max Aggregation Interval")
    type = params.get("LogDestinationType") or CLOUD_WATCH
    options = _options(params, type)
    return FlowLog(
        id="", **call.owned(), resource_id="", resource_type=params["ResourceType"], traffic_type=traffic,
        destination_type=type, destination=_destination(call, params, type), log_group=params.get("LogGroupName") or None,
        fields=_fields(params), created=call.now.timestamp(), interval=interval or 600,
        role=_role(params, type), tag_fields=_tag_fields(params), tags=tags_on_create(call, params, FLOW_LOG), **options,
    )  # fmt: skip


def _check_resources(params: Params) -> None:
    """FL-01"""
    type, ids = params["ResourceType"], params["ResourceIds"]
    if type in _ELSEWHERE:
        raise fault("UnsupportedOperation", message=f"Flow logs of {type} are not served by this installation.")
    if type not in RESOURCES:
        raise _bad(f"Invalid Flow Log Resource Type: {type[:50]}")
    if not ids:
        raise fault("MissingParameter", name="ResourceId")
    if len(ids) > _MOST_RESOURCES:
        raise _bad(f"The number of resources must be at most {_MOST_RESOURCES}")


# ---------------------------------------------------------------------- destination
def _destination(call: Call, params: Params, type: str) -> str | None:
    """FL-04 … FL-07: exactly one of group name and ARN, of the destination's kind."""
    arn, group = params.get("LogDestination"), params.get("LogGroupName")
    if type not in (CLOUD_WATCH, S3, FIREHOSE):
        raise _bad(f"Invalid Flow Log Destination Type: {type[:50]}")
    if arn and group:
        raise _bad("Please only provide LogGroupName or only provide LogDestination.")
    if group and type != CLOUD_WATCH:
        raise _bad("LogDestination type must be cloud-watch-logs if LogGroupName is provided.")
    if not arn and not group:
        raise _bad("LogDestination can't be empty if LogGroupName is not provided.")
    if group and not _GROUP.fullmatch(group):
        raise _bad(f"LogGroupName is invalid: {group[:100]}")
    if arn and type == S3:
        _check_bucket(arn)
    if arn and type == CLOUD_WATCH:
        _check_here(call, arn, _GROUP_ARN, "log group")
    if arn and type == FIREHOSE:
        _check_here(call, arn, _STREAM, "delivery stream")
    return arn or None


def _check_bucket(arn: str) -> None:
    """FL-52: `AWSLogs` is the folder's that flow logs make for themselves."""
    found = _BUCKET.fullmatch(arn)
    if found is None:
        raise _bad(f"LogDestination is not the ARN of a bucket or of a folder in one: {arn[:200]}")
    folders = found[2].strip("/").split("/")
    if "AWSLogs" in folders or (folders != [""] and "" in folders):
        raise _bad(f"LogDestination has a reserved or empty folder name: {arn[:200]}")
    if len(found[2]) > 200:
        raise _bad("LogDestination has too long a folder name")


def _check_here(call: Call, arn: str, form: re.Pattern[str], what: str) -> None:
    """An ARN of that form, of the caller's own account and Region."""
    found = form.fullmatch(arn)
    if found is None:
        raise _bad(f"LogDestination is not the ARN of a {what}: {arn[:200]}")
    if (found[1], found[2]) != (call.region, call.account_id):
        text = f"Delivery to a {what} of another account or Region is not served by this installation."
        raise fault("UnsupportedOperation", message=text)


def _role(params: Params, type: str) -> str | None:
    """FL-07. Whether the role can be assumed shows when records are delivered (FL-57)."""
    role = params.get("DeliverLogsPermissionArn")
    if params.get("DeliverCrossAccountRole"):
        raise fault("UnsupportedOperation", message="Delivery across accounts is not served by this installation.")
    if type == S3 and role:
        raise _bad("DeliverLogsPermissionArn is not applicable for s3 delivery")
    if type == CLOUD_WATCH and not role:
        raise _bad("DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.")
    if role and not _ROLE.fullmatch(role):
        raise _bad(f"DeliverLogsPermissionArn is not the ARN of a role: {role[:200]}")
    return role or None


# ---------------------------------------------------------------------- records
def _fields(params: Params) -> tuple[str, ...]:
    """FL-43"""
    text = params.get("LogFormat")
    if text is None:
        return DEFAULT
    try:
        return parse_format(text)
    except BadFormat as problem:
        raise _bad(str(problem)) from None


def _options(params: Params, type: str) -> dict[str, Any]:
    given = params.get("DestinationOptions") or {}
    format = given.get("FileFormat") or "plain-text"
    if format not in _FORMATS:
        raise _bad(f"Invalid file format: {format[:50]}")
    hive, per_hour = bool(given.get("HiveCompatiblePartitions")), bool(given.get("PerHourPartition"))
    if type != S3 and (format != "plain-text" or hive or per_hour):
        raise _bad("DestinationOptions are only applicable for s3 delivery")
    return {"file_format": format, "hive": hive, "per_hour": per_hour}


def _tag_fields(params: Params) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """FL-41: one specification for each type of resource, of one or two keys."""
    found: dict[str, tuple[str, ...]] = {}
    for given in params.get("TagFieldSpecifications") or ():
        type, keys = given.get("ResourceType"), tuple(given.get("TagKeys") or ())
        if type not in _TAGGED or type in found:
            raise _bad(f"TagFieldSpecifications has an invalid or repeated resource type: {str(type)[:50]}")
        if not 1 <= len(keys) <= _MOST_TAG_KEYS or any(not 1 <= len(key) <= 128 for key in keys):
            raise _bad(f"TagFieldSpecifications for {type} must have one or {_MOST_TAG_KEYS} tag keys")
        found[type] = keys
    return tuple(found.items())
