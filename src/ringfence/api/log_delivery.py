"""May the log delivery service write a flow log's files into its bucket? (Amazon VPC User Guide: "Amazon S3 bucket permissions
for flow logs"; FL-53, FL-59.)

AWS adds its statements to the policy of a bucket of the creator's own; here such a bucket needs no statement, but a Deny in
its policy counts. Another account's bucket must allow the delivery service, by `aws:SourceAccount` and `aws:SourceArn` if it
likes.
"""

from __future__ import annotations

from datetime import datetime

from ringfence.api.authorise import s3
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import World

DELIVERY = "delivery.logs.amazonaws.com"


def may_deliver(world: World, log: FlowLog, now: datetime) -> bool:
    """False also when the bucket does not exist."""
    account = f"aws-account-id={log.owner_id}" if log.hive else log.owner_id
    prefix = "/".join(part for part in (log.folder, "AWSLogs", account, "") if part) + "/"
    what = s3.Delivering(
        service=DELIVERY, source_arn=source_of(log), account_id=log.owner_id, region=log.region, now=now
    )
    return s3.may_deliver(world, what, log.bucket, prefix)


def source_of(log: FlowLog) -> str:
    """`aws:SourceArn` of what is delivered for a flow log."""
    return f"arn:aws:logs:{log.region}:{log.owner_id}:*"
