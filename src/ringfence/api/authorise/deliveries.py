"""Flow logs to S3 need permission of CloudWatch Logs' delivery (Amazon VPC User Guide: "IAM policy for IAM principals that
publish flow logs to Amazon S3"; POL-12, POL-14)."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.api.authorise.ask import Ask
from ringfence.api.ops.context import Call, Params
from ringfence.identity.question import Target
from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.flow_log import FIREHOSE, S3
from ringfence.model.world import World

_DELIVERED = frozenset({S3, FIREHOSE})


def log_deliveries(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """A question for the delivery that a call makes or ends."""
    everything = (Target(arn="*", account_id=call.account_id),)
    if call.action == "CreateFlowLogs" and params.get("LogDestinationType") in _DELIVERED:
        yield Ask("logs:CreateLogDelivery", everything)
    if call.action == "DeleteFlowLogs":
        logs = [world.find(FLOW_LOG, id) for id in params.get("FlowLogIds") or () if isinstance(id, str)]
        if any(log and log.owner_id == call.account_id and log.destination_type in _DELIVERED for log in logs):
            yield Ask("logs:DeleteLogDelivery", everything)
