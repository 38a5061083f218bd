"""Log groups (CloudWatch Logs API Reference: CreateLogGroup, DescribeLogGroups, PutRetentionPolicy …)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.encryption import checked_key
from ringfence.api.ops.logs.serve import find_group, group_arn, identified_group, invalid, logs, milliseconds, page
from ringfence.api.ops.logs.tags import checked_tags
from ringfence.model.errors import fault
from ringfence.model.kinds import LOG_GROUP, LOG_STREAM, METRIC_FILTER
from ringfence.model.nouns.log import LogGroup
from ringfence.model.world import World, delete, put

#: PutRetentionPolicy, `retentionInDays`
RETENTION = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
#: Delivery: "kept in CloudWatch Logs for only one day", and its retention cannot be changed
_DELIVERY_DAYS = 1


@logs("CreateLogGroup")
def create_log_group(call: Call, world: World, params: Params) -> Outcome:
    """ResourceAlreadyExistsException, LimitExceededException, InvalidParameterException."""
    name = params["logGroupName"]
    if name.startswith("aws/"):
        raise invalid("Log groups starting with AWS/ are reserved for AWS.")
    arn = group_arn(call, name)
    if world.find(LOG_GROUP, arn) is not None:
        raise fault("ResourceAlreadyExistsException", what="log group")
    call.check_quota("log-groups", world.count_owned(LOG_GROUP, call.account_id, call.region) + 1)
    log_class = params.get("logGroupClass") or "STANDARD"
    key = checked_key(call, world, params["kmsKeyId"], arn) if params.get("kmsKeyId") else None
    group = LogGroup(
        id=arn, **call.owned(), name=name, created=milliseconds(call), log_class=log_class,
        retention=_DELIVERY_DAYS if log_class == "DELIVERY" else None,
        protected=bool(params.get("deletionProtectionEnabled")), tags=checked_tags((), params.get("tags") or {}), kms_key=key,
    )  # fmt: skip
    return Outcome({}, put(LOG_GROUP, group))


@logs("DeleteLogGroup")
def delete_log_group(call: Call, world: World, params: Params) -> Outcome:
    """With its streams, events and metric filters. ValidationException while deletion protection is on."""
    group = find_group(call, world, params["logGroupName"])
    if group.protected:
        text = "The log group has deletion protection enabled. Disable it before deleting the log group."
        raise fault("ValidationException", message=text)
    streams = delete(LOG_STREAM, *(row.id for row in world.by(LOG_STREAM, "group", group.id)))
    filters = delete(METRIC_FILTER, *(row.id for row in world.by(METRIC_FILTER, "group", group.id)))
    return Outcome({}, streams + filters + delete(LOG_GROUP, group.id))


@logs("DescribeLogGroups", aside=True)
def describe_log_groups(call: Call, world: World, params: Params) -> Outcome:
    """By name. A prefix, or a pattern: text anywhere in the name, whatever its letter case."""
    prefix, pattern = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
    if prefix is not None and pattern is not None:
        raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    accounts = params.get("accountIdentifiers")
    groups = call.mine(world, LOG_GROUP) if not accounts or call.account_id in accounts else []
    wanted = params.get("logGroupIdentifiers")
    if wanted:
        named = {identified_group(call, world, {"logGroupIdentifier": one}).id for one in wanted}
        groups = [group for group in groups if group.id in named]
    if prefix is not None:
        groups = [group for group in groups if group.name.startswith(prefix)]
    if pattern:
        groups = [group for group in groups if pattern.lower() in group.name.lower()]
    if params.get("logGroupClass"):
        groups = [group for group in groups if group.log_class == params["logGroupClass"]]
    shown, token = page(sorted(groups, key=_name), _name, params)
    return Outcome({"logGroups": [view(call, world, group) for group in shown], **token})


def _name(group: LogGroup) -> str:
    return group.name


def view(call: Call, world: World, group: LogGroup) -> dict[str, Any]:
    """`LogGroup` of the API."""
    streams = world.by(LOG_STREAM, "group", group.id)
    stored = call.outside.logs.summaries(stream.number for stream in streams)
    return {
        "logGroupName": group.name, "creationTime": group.created, "retentionInDays": group.retention,
        "metricFilterCount": world.count(METRIC_FILTER, "group", group.id), "arn": f"{group.id}:*",
        "storedBytes": sum(summary.bytes for summary in stored.values()), "logGroupClass": group.log_class,
        "logGroupArn": group.id, "deletionProtectionEnabled": group.protected, "kmsKeyId": group.kms_key,
    }  # fmt: skip


@logs("PutRetentionPolicy")
def put_retention_policy(call: Call, world: World, params: Params) -> Outcome:
    """Housekeeping forgets what is older. InvalidParameterException for a number of days that AWS does not have."""
    group = find_group(call, world, params["logGroupName"])
    days = params["retentionInDays"]
    if days not in RETENTION:
        text = (
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(map(str, RETENTION))}]"
        )
        raise invalid(text)
    _refuse_delivery(group)
    return Outcome({}, put(LOG_GROUP, replace(group, retention=days)))


@logs("DeleteRetentionPolicy")
def delete_retention_policy(call: Call, world: World, params: Params) -> Outcome:
    """Events are kept for ever again."""
    group = find_group(call, world, params["logGroupName"])
    _refuse_delivery(group)
    return Outcome({}, put(LOG_GROUP, replace(group, retention=None)))


def _refuse_delivery(group: LogGroup) -> None:
    if group.log_class == "DELIVERY":
        raise invalid("The retention of a log group of class DELIVERY cannot be changed.")


@logs("PutLogGroupDeletionProtection")
def put_log_group_deletion_protection(call: Call, world: World, params: Params) -> Outcome:
    group = identified_group(call, world, params)
    return Outcome({}, put(LOG_GROUP, replace(group, protected=params["deletionProtectionEnabled"])))
