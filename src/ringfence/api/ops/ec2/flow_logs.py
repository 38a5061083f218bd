"""Flow logs (Amazon EC2 API Reference: CreateFlowLogs, DescribeFlowLogs, DeleteFlowLogs; spec FL-01 … FL-18, FL-43, FL-52 …
FL-57, D-09, D-10).

A flow log is accepted only where packets are counted (`Call.outside.flow_logging`): elsewhere it would promise records that
never come, so the request is refused with UnsupportedOperation after it was found to be in order.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api import log_delivery  # the module: it leads back here through what is authorised
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.flow_log_requests import RESOURCES, requested
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list
from ringfence.api.outside import FlowLogging
from ringfence.insight.flowlogs.fields import format_of
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import BUCKET, FLOW_LOG
from ringfence.model.nouns.flow_log import FIREHOSE, S3, FlowLog
from ringfence.model.world import NOTHING, Change, World, delete, put

#: DeliverLogsErrorMessage when nothing counts packets (FL-11)
_NO_COUNTER = "Unknown error"


@operation("ec2:CreateFlowLogs")
def create_flow_logs(call: Call, world: World, params: Params) -> Outcome:
    """One flow log for each resource. Destinations that cannot be written to are reported as Unsuccessful (D-10).

    InvalidParameter, FlowLogAlreadyExists, FlowLogsLimitExceeded, LogDestinationPermissionIssue, the resources' own NotFound,
    UnsupportedOperation.
    """
    wanted = requested(call, params)
    _refuse_what_is_not_here(call.outside.flow_logging(), wanted)
    reply: dict[str, Any] = {
        "ClientToken": params.get("ClientToken") or call.ids.uuid(), "FlowLogIds": [], "Unsuccessful": [],
    }  # fmt: skip
    change = NOTHING
    for resource_id in dict.fromkeys(params["ResourceIds"]):
        log = replace(wanted, id=call.ids.new(FLOW_LOG.prefix), resource_id=_owned(call, world, wanted, resource_id))
        _refuse_another(call, world, log)
        _refuse_a_full_policy(call, world, log)
        trouble = _trouble(call, world, log)
        if trouble is None:
            change += put(FLOW_LOG, log)
            reply["FlowLogIds"].append(log.id)
        else:
            reply["Unsuccessful"].append({"ResourceId": resource_id, "Error": {"Code": "400", "Message": trouble}})
    return Outcome(reply, change)


def _refuse_what_is_not_here(here: FlowLogging | None, wanted: FlowLog) -> None:
    if here is None:
        text = "This installation's data plane does not count packets per flow: flow logs are not available."
        raise fault("UnsupportedOperation", message=text)
    if wanted.destination_type not in here.sinks:
        text = f"Flow logs to {wanted.destination_type} are not served by this installation."
        raise fault("UnsupportedOperation", message=text)
    if wanted.file_format == "parquet" and not here.parquet:
        text = "Parquet files need pyarrow, which this installation lacks: install ringfence[flowlogs]."
        raise fault("UnsupportedOperation", message=text)


def _owned(call: Call, world: World, wanted: FlowLog, id: str) -> str:
    """The resource is the caller's own, not one shared with it (FL-16, SHR-02). The kind's NotFound or Malformed."""
    kind = RESOURCES[wanted.resource_type]
    row = call.get(world, kind, id)
    if row.owner_id != call.account_id:
        raise fault(kind.not_found, id=id)
    return str(row.id)


def _refuse_another(call: Call, world: World, log: FlowLog) -> None:
    """FL-09: the same again, or too many of one resource."""
    there = world.by(FLOW_LOG, "resource", log.resource_id)
    if any(_same(log, other) for other in there):
        raise fault("FlowLogAlreadyExists")
    call.check_quota("flow-logs-per-resource", len(there) + 1, id=log.resource_id)


def _refuse_a_full_policy(call: Call, world: World, log: FlowLog) -> None:
    """FL-54: AWS adds statements to the policy of a bucket of the account's own, which has 20 KB."""
    if log.destination_type == S3 and not log_delivery.fits_policy(world, log, call.now):
        text = (
            f"The policy of bucket {log.bucket} would exceed {log_delivery.POLICY_BYTES} bytes with what delivery needs. "
            f"Remove statements that are not needed, or allow delivery to arn:aws:s3:::{log.bucket}/*."
        )
        raise fault("LogDestinationPermissionIssue", message=text)


def _same(one: FlowLog, other: FlowLog) -> bool:
    return _configuration(one) == _configuration(other)


def _configuration(log: FlowLog) -> tuple[Any, ...]:
    return log.traffic_type, log.fields, log.destination_type, log.destination, log.log_group


def _trouble(call: Call, world: World, log: FlowLog) -> str | None:
    """Why the destination cannot be written to. A log group is made when the first traffic is recorded (FL-48)."""
    here = call.outside.flow_logging()
    if log.destination_type == FIREHOSE and here is not None:
        known = (log.owner_id, (log.destination or "").rpartition("/")[2]) in here.streams
        return None if known else f"LogDestination: {log.destination} does not exist"
    if log.destination_type != S3:
        return None
    if world.find(BUCKET, log.bucket) is None:
        return f"LogDestination: {log.bucket} does not exist"
    if not log_delivery.deliverable(world, log):  # FL-55
        return f"LogDestination: {log.bucket} is undeliverable"
    if log_delivery.may_deliver(world, log, call.now):
        return None
    return f"Access Denied for LogDestination: {log.bucket}. Please check LogDestination permission"


# ---------------------------------------------------------------------- reading
def _view(call: Call, log: FlowLog) -> dict[str, Any]:
    """`FlowLog` of the API (FL-10)."""
    error = _error(call, log)
    optional = {
        "DeliverLogsErrorMessage": error, "DeliverLogsPermissionArn": log.role, "LogGroupName": log.log_group,
        "DeliverCrossAccountRole": log.cross_account_role, "LogDestination": log.destination,
    }  # fmt: skip
    shown: dict[str, Any] = {
        "CreationTime": datetime.fromtimestamp(log.created, UTC), "DeliverLogsStatus": "FAILED" if error else "SUCCESS",
        "FlowLogId": log.id, "FlowLogStatus": "ACTIVE", "ResourceId": log.resource_id, "TrafficType": log.traffic_type,
        "LogDestinationType": log.destination_type, "LogFormat": format_of(log.fields), "Tags": tag_list(log.tags),
        "MaxAggregationInterval": log.interval,
        **{name: value for name, value in optional.items() if value is not None},
    }  # fmt: skip
    if log.destination_type == S3:
        shown["DestinationOptions"] = {
            "FileFormat": log.file_format, "HiveCompatiblePartitions": log.hive, "PerHourPartition": log.per_hour,
        }  # fmt: skip
    if log.tag_fields:
        shown["TagFieldSpecifications"] = [
            {"ResourceType": type, "TagKeys": list(keys)} for type, keys in log.tag_fields
        ]
    return shown


def _error(call: Call, log: FlowLog) -> str | None:
    """What is wrong with deliveries now. A flow log from when packets were counted says so when they are no more."""
    return call.outside.flow_delivery(log.id).error if call.outside.flow_logging() is not None else _NO_COUNTER


@operation("ec2:DescribeFlowLogs")
def describe_flow_logs(call: Call, world: World, params: Params) -> Outcome:
    """Those named, or all that the filters keep. InvalidFlowLogId.NotFound, InvalidParameterValue."""
    filters: dict[str, Values] = {
        "deliver-log-status": lambda _, log: ("FAILED" if _error(call, log) else "SUCCESS",),
        "log-destination-type": lambda _, log: (log.destination_type,),
        "flow-log-id": lambda _, log: (log.id,),
        "log-group-name": lambda _, log: (log.log_group,),
        "resource-id": lambda _, log: (log.resource_id,),
        "traffic-type": lambda _, log: (log.traffic_type,),
    }
    named = params.get("FlowLogIds")
    rows = [call.get(world, FLOW_LOG, id) for id in dict.fromkeys(named)] if named else call.mine(world, FLOW_LOG)
    shown, token = page(apply_filters(world, rows, params.get("Filter") or (), filters), params)
    return Outcome({"FlowLogs": [_view(call, log) for log in shown], **({"NextToken": token} if token else {})})


# ---------------------------------------------------------------------- ending
@operation("ec2:DeleteFlowLogs")
def delete_flow_logs(call: Call, world: World, params: Params) -> Outcome:
    """Recording stops; what was delivered stays, and so does the bucket's policy (FL-13, FL-18). All or none."""
    ids = list(dict.fromkeys(params["FlowLogIds"]))
    if not ids:
        raise fault("MissingParameter", name="FlowLogId")
    unknown = [id for id in ids if not _mine(call, world, id)]
    if unknown:
        text = f"These flow log ids in the input list are not found: [TotalCount: {len(unknown)}] {', '.join(unknown)[:1000]}"
        raise fault("InvalidFlowLogId.NotFound", message=text)
    return Outcome({"Unsuccessful": []}, delete(FLOW_LOG, *ids))


def _mine(call: Call, world: World, id: str) -> bool:
    try:
        call.get(world, FLOW_LOG, id)
    except ApiError:
        return False
    return True


def gone_with(world: World, resource_id: str) -> Change:
    """A resource is being deleted: its flow logs go with it."""
    return delete(FLOW_LOG, *(log.id for log in world.by(FLOW_LOG, "resource", resource_id)))
