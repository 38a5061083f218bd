"""Trails (CloudTrail API Reference: CreateTrail, UpdateTrail, DescribeTrails, StartLogging …; DATA-12).

What this installation has nothing for (SNS topics, log groups, organization trails) is refused, not ignored.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api import data_keys
from ringfence.api.authorise.s3 import Delivering, may_deliver
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import parse_tags, tag_list
from ringfence.model.errors import fault
from ringfence.model.kinds import BUCKET, DIGEST_KEY, TRAIL
from ringfence.model.nouns.trail import Trail
from ringfence.model.world import World, delete, put

SERVICE = "cloudtrail.amazonaws.com"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|[._-](?![._-])){1,126}[A-Za-z0-9]")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
#: parameter -> why it is refused
_NOT_HERE = {
    "SnsTopicName": "Amazon SNS is not served by this installation",
    "CloudWatchLogsLogGroupArn": "delivery of trails to CloudWatch Logs is not served by this installation",
    "CloudWatchLogsRoleArn": "delivery of trails to CloudWatch Logs is not served by this installation",
    "IsOrganizationTrail": "organization trails are not served by this installation",
    "RecursiveLogging": "data events are not served by this installation",
}


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def find(call: Call, world: World, name: str) -> Trail:
    """A trail by name (of the Region, or a multi-Region one) or ARN. TrailNotFoundException, CloudTrailARNInvalidException."""
    if name.startswith("arn:"):
        if not re.fullmatch(r"arn:aws:cloudtrail:[a-z0-9-]+:[0-9]{12}:trail/.+", name):
            raise fault("CloudTrailARNInvalidException", message=f"ARN is invalid: {name[:200]}")
        found = world.find(TRAIL, name)
        if found is not None and found.owner_id == call.account_id:
            return found
    else:
        for trail in seen(call, world):
            if trail.name == name:
                return trail
    raise fault("TrailNotFoundException", message=f"Unknown trail: {name[:200]} for the user: {call.account_id}")


def seen(call: Call, world: World) -> list[Trail]:
    """The account's trails that log in the caller's Region: its own, and shadows of multi-Region ones."""
    mine = world.by(TRAIL, "account", call.account_id)
    return [trail for trail in mine if trail.region == call.region or trail.multi_region]


def view(trail: Trail) -> dict[str, Any]:
    """`Trail` of the API."""
    return {
        **_echo(trail), "HomeRegion": trail.region, "HasCustomEventSelectors": trail.selectors is not None,
        "HasInsightSelectors": False,
    }  # fmt: skip


def _echo(trail: Trail) -> dict[str, Any]:
    """What CreateTrail and UpdateTrail answer."""
    return {
        "Name": trail.name, "S3BucketName": trail.bucket, "S3KeyPrefix": trail.prefix or None,
        "IncludeGlobalServiceEvents": trail.global_events, "IsMultiRegionTrail": trail.multi_region,
        "TrailARN": trail.id, "LogFileValidationEnabled": trail.validation_since is not None,
        "IsOrganizationTrail": False, "KmsKeyId": trail.kms_key,
    }  # fmt: skip


def _refuse_what_is_not_here(params: Params) -> None:
    for name, why in _NOT_HERE.items():
        if params.get(name):
            raise fault("UnsupportedOperationException", message=f"{name}: {why}")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or _ADDRESS.fullmatch(name):
        text = (
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and "
            "underscores (_), must start and end with a letter or number, and have 3 to 128 characters"
        )
        raise fault("InvalidTrailNameException", message=text)
    return name


def may_write(
    world: World, now: datetime, trail_arn: str, account_id: str, bucket: str, prefix: str, key: str | None = None
) -> bool:
    """May CloudTrail deliver a trail into a bucket? A bucket of the account itself needs no policy here. `key`: that files are
    sealed with, which the requests then say."""
    folder = f"{prefix}/AWSLogs/{account_id}/" if prefix else f"AWSLogs/{account_id}/"
    who = Delivering(
        service=SERVICE, source_arn=trail_arn, account_id=account_id, region=trail_arn.split(":")[3], now=now,
        headers={"s3:x-amz-server-side-encryption": "aws:kms", "s3:x-amz-server-side-encryption-aws-kms-key-id": key} if key else {},
    )  # fmt: skip
    return may_deliver(world, who, bucket, folder)


def _checked_key(call: Call, world: World, named: str | None, trail_arn: str, bucket: str) -> str | None:
    """AWS asks the key's policy whether CloudTrail may use it. Its ARN. ApiError KmsKeyNotFoundException,
    InsufficientEncryptionPolicyException, KmsException."""
    if not named:
        return None
    asker = data_keys.for_service(
        world=world, sealer=call.sealer, ids=call.ids, now=call.now, region=call.region, audit=call.witness, name=SERVICE,
        source_arn=trail_arn, source_account=call.account_id,
    )  # fmt: skip
    with data_keys.told_by("cloudtrail"):
        arn = data_keys.arn_of(world, named, region=call.region, account_id=call.account_id, now=call.now)
        data_keys.check(asker, arn, {"aws:cloudtrail:arn": trail_arn})
    held = world.find(BUCKET, bucket)
    if held is not None and held.region != arn.split(":")[3]:
        text = f"The key {arn} and the bucket {bucket} are not in the same Region."
        raise fault("KmsKeyNotFoundException", message=text)
    return arn


def _checked_bucket(call: Call, world: World, name: str, trail_arn: str, prefix: str, key: str | None = None) -> str:
    """AWS asks the bucket's policy whether CloudTrail may write. ApiError InsufficientS3BucketPolicyException, …"""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise fault("InvalidS3BucketNameException", message=f"Bucket name is invalid: {name[:100]}")
    bucket = world.find(BUCKET, name)
    if bucket is None:
        raise fault("S3BucketDoesNotExistException", bucket=name)
    if not may_write(world, call.now, trail_arn, call.account_id, name, prefix, key):
        raise fault("InsufficientS3BucketPolicyException", bucket=name)
    return name


def _checked_prefix(prefix: str) -> str:
    if len(prefix) > 200 or not re.fullmatch(r"[A-Za-z0-9!_.*'()/=-]*", prefix) or prefix.startswith("/"):
        raise fault("InvalidS3PrefixException", message=f"Prefix is invalid: {prefix[:200]}")
    return prefix.rstrip("/")


@operation("cloudtrail:CreateTrail")
def create_trail(call: Call, world: World, params: Params) -> Outcome:
    """A trail that does not log yet (StartLogging). AWS's exceptions for name, bucket, prefix, quota and what is not here."""
    _refuse_what_is_not_here(params)
    name = _checked_name(params["Name"])
    arn = f"arn:aws:cloudtrail:{call.region}:{call.account_id}:trail/{name}"
    prefix = _checked_prefix(params.get("S3KeyPrefix") or "")
    bucket = _checked_bucket(call, world, params["S3BucketName"], arn, prefix)
    key = _checked_key(call, world, params.get("KmsKeyId"), arn, bucket)
    if key is not None:
        _checked_bucket(call, world, bucket, arn, prefix, key)
    if any(trail.name == name for trail in seen(call, world)):
        raise fault("TrailAlreadyExistsException", name=name, account=call.account_id)
    here = [trail for trail in world.by(TRAIL, "account", call.account_id) if trail.region == call.region]
    call.check_quota("trails-per-region", len(here) + 1, account=call.account_id, region=call.region)
    if params.get("IsMultiRegionTrail") and params.get("IncludeGlobalServiceEvents") is False:
        text = "Multi-Region trail must include global service events."
        raise fault("InvalidParameterCombinationException", message=text)
    trail = Trail(
        id=arn, **call.owned(), name=name, bucket=bucket,
        prefix=prefix, global_events=params.get("IncludeGlobalServiceEvents", True),
        multi_region=params.get("IsMultiRegionTrail", False),
        validation_since=call.now.timestamp() if params.get("EnableLogFileValidation") else None,
        tags=parse_tags(call, params.get("TagsList") or ()), kms_key=key,
    )  # fmt: skip
    return Outcome(_echo(trail), put(TRAIL, trail))


@operation("cloudtrail:UpdateTrail")
def update_trail(call: Call, world: World, params: Params) -> Outcome:
    """Only what is given changes. InvalidHomeRegionException away from the trail's home."""
    _refuse_what_is_not_here(params)
    trail = _at_home(call, find(call, world, params["Name"]))
    since = trail.validation_since
    if params.get("EnableLogFileValidation") is not None:
        since = (since or call.now.timestamp()) if params["EnableLogFileValidation"] else None
    prefix = _checked_prefix(params["S3KeyPrefix"]) if params.get("S3KeyPrefix") is not None else trail.prefix
    bucket = params.get("S3BucketName") or trail.bucket
    named, key = params.get("KmsKeyId"), trail.kms_key  # AWS: an empty name takes the key away
    if named is not None or bucket != trail.bucket:
        key = _checked_key(call, world, trail.kms_key if named is None else named, trail.id, bucket)
    if (bucket, prefix, key) != (trail.bucket, trail.prefix, trail.kms_key):
        _checked_bucket(call, world, bucket, trail.id, prefix, key)
    changed = replace(
        trail,
        bucket=bucket,
        prefix=prefix,
        global_events=params.get("IncludeGlobalServiceEvents", trail.global_events),
        multi_region=params.get("IsMultiRegionTrail", trail.multi_region),
        validation_since=since,
        kms_key=key,
    )
    if changed.multi_region and not changed.global_events:
        text = "Multi-Region trail must include global service events."
        raise fault("InvalidParameterCombinationException", message=text)
    return Outcome(_echo(changed), put(TRAIL, changed))


def _at_home(call: Call, trail: Trail) -> Trail:
    if trail.region != call.region:
        text = f"Trail {trail.id} cannot be changed from {call.region}: its home Region is {trail.region}"
        raise fault("InvalidHomeRegionException", message=text)
    return trail


@operation("cloudtrail:DeleteTrail")
def delete_trail(call: Call, world: World, params: Params) -> Outcome:
    """What was delivered stays in the bucket."""
    return Outcome({}, delete(TRAIL, _at_home(call, find(call, world, params["Name"])).id))


@operation("cloudtrail:DescribeTrails")
def describe_trails(call: Call, world: World, params: Params) -> Outcome:
    """Those named, or all. AWS leaves out unknown names rather than failing."""
    names, shadows = params.get("trailNameList") or (), params.get("includeShadowTrails", True)
    trails = [trail for trail in seen(call, world) if shadows or trail.region == call.region]
    if names:
        trails = [trail for trail in trails if trail.name in names or trail.id in names]
    return Outcome({"trailList": [view(trail) for trail in trails]})


@operation("cloudtrail:GetTrail")
def get_trail(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({"Trail": view(find(call, world, params["Name"]))})


@operation("cloudtrail:ListTrails")
def list_trails(call: Call, world: World, params: Params) -> Outcome:
    """Every trail of the account, in all Regions."""
    mine = world.by(TRAIL, "account", call.account_id)
    return Outcome({"Trails": [{"TrailARN": t.id, "Name": t.name, "HomeRegion": t.region} for t in mine]})


@operation("cloudtrail:GetTrailStatus")
def get_trail_status(call: Call, world: World, params: Params) -> Outcome:
    """Is it logging, and how did deliveries go?"""
    trail = find(call, world, params["Name"])
    went = call.outside.delivery(trail.id)
    times = {
        "StartLoggingTime": trail.started, "StopLoggingTime": trail.stopped, "LatestDeliveryTime": went.at,
        "LatestDigestDeliveryTime": went.digest_at,
    }  # fmt: skip
    texts = {
        "LatestDeliveryError": went.error, "LatestDigestDeliveryError": went.digest_error,
        "TimeLoggingStarted": _text(trail.started), "TimeLoggingStopped": _text(trail.stopped),
        "LatestDeliveryAttemptTime": _text(went.attempted), "LatestDeliveryAttemptSucceeded": _text(went.at),
    }  # fmt: skip
    shown = {name: moment(at) for name, at in times.items() if at is not None}
    return Outcome({"IsLogging": trail.logging, **shown, **{name: text for name, text in texts.items() if text}})


def _text(seconds: float | None) -> str:
    return "" if seconds is None else moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


@operation("cloudtrail:StartLogging")
def start_logging(call: Call, world: World, params: Params) -> Outcome:
    """Record from now on."""
    trail = _at_home(call, find(call, world, params["Name"]))
    if trail.logging:
        return Outcome({})
    return Outcome({}, put(TRAIL, replace(trail, logging=True, started=call.now.timestamp())))


@operation("cloudtrail:StopLogging")
def stop_logging(call: Call, world: World, params: Params) -> Outcome:
    """What was recorded until now is still delivered."""
    trail = _at_home(call, find(call, world, params["Name"]))
    if not trail.logging:
        return Outcome({})
    return Outcome({}, put(TRAIL, replace(trail, logging=False, stopped=call.now.timestamp())))


@operation("cloudtrail:ListPublicKeys")
def list_public_keys(call: Call, world: World, params: Params) -> Outcome:
    """The keys that digest files of a span of time are signed with; by default of now."""
    start = params.get("StartTime") or call.now
    end = params.get("EndTime") or call.now
    if start > end:
        raise fault("InvalidTimeRangeException", message="The start time is after the end time.")
    keys = [
        {"Value": key.public, "ValidityStartTime": moment(key.valid_from), "ValidityEndTime": moment(key.valid_to),
         "Fingerprint": key.id}
        for key in world.all(DIGEST_KEY)
        if key.valid_from <= end.timestamp() and start.timestamp() <= key.valid_to
    ]  # fmt: skip
    return Outcome({"PublicKeyList": keys})


# ---------------------------------------------------------------------- tags
@operation("cloudtrail:AddTags")
def add_tags(call: Call, world: World, params: Params) -> Outcome:
    trail = find(call, world, params["ResourceId"])
    return Outcome({}, put(TRAIL, replace(trail, tags=parse_tags(call, params["TagsList"], trail.tags))))


@operation("cloudtrail:RemoveTags")
def remove_tags(call: Call, world: World, params: Params) -> Outcome:
    trail = find(call, world, params["ResourceId"])
    gone = {tag["Key"] for tag in params["TagsList"]}
    return Outcome({}, put(TRAIL, replace(trail, tags=tuple(tag for tag in trail.tags if tag[0] not in gone))))


@operation("cloudtrail:ListTags")
def list_tags(call: Call, world: World, params: Params) -> Outcome:
    trails = [find(call, world, arn) for arn in params["ResourceIdList"]]
    return Outcome({"ResourceTagList": [{"ResourceId": t.id, "TagsList": tag_list(t.tags)} for t in trails]})
