"""May the log delivery service write a flow log's files into its bucket? (Amazon VPC User Guide: "Amazon S3 bucket permissions
for flow logs", "Troubleshoot VPC Flow Logs"; FL-53 … FL-55, FL-59.)

AWS adds its statements to the policy of a bucket of the creator's own; here such a bucket needs no statement, but a Deny in
its policy counts. Another account's bucket must allow the delivery service, by `aws:SourceAccount` and `aws:SourceArn` if it
likes.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ringfence.api.authorise import s3
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import World
from ringfence.store.containers import KMS

POLICY_BYTES = 20 * 1024  # a bucket's policy
DELIVERY = "delivery.logs.amazonaws.com"


def may_deliver(world: World, log: FlowLog, now: datetime, *, stated: bool = False) -> bool:
    """False also when the bucket does not exist. `stated`: does its policy say so, whoever owns it?"""
    what = s3.Delivering(
        service=DELIVERY, source_arn=source_of(log), account_id=log.owner_id, region=log.region, now=now
    )
    return s3.may_deliver(world, what, log.bucket, _prefix(log), stated=stated)


def _prefix(log: FlowLog) -> str:
    account = f"aws-account-id={log.owner_id}" if log.hive else log.owner_id
    return "/".join(part for part in (log.folder, "AWSLogs", account, "") if part) + "/"


def fits_policy(world: World, log: FlowLog, now: datetime) -> bool:
    """Would the bucket's policy still be one with what AWS adds for this flow log? True where it has to add nothing."""
    bucket = world.find(BUCKET, log.bucket)
    if bucket is None or bucket.owner_id != log.owner_id or may_deliver(world, log, now, stated=True):
        return True
    return len((bucket.policy or "").encode()) + len(json.dumps(_added(log))) <= POLICY_BYTES


def _added(log: FlowLog) -> list[dict[str, Any]]:
    """The guide's statements: they let the service put files into the folder, and ask for the bucket's ACL."""
    source = {"aws:SourceAccount": log.owner_id}
    like = {"ArnLike": {"aws:SourceArn": source_of(log)}}
    service, arn = {"Service": DELIVERY}, f"arn:aws:s3:::{log.bucket}"
    full = {"s3:x-amz-acl": "bucket-owner-full-control", **source}
    return [
        {"Sid": "AWSLogDeliveryWrite", "Effect": "Allow", "Principal": service, "Action": "s3:PutObject",
         "Resource": f"{arn}/{_prefix(log)}*", "Condition": {"StringEquals": full, **like}},
        {"Sid": "AWSLogDeliveryAclCheck", "Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl",
         "Resource": arn, "Condition": {"StringEquals": source, **like}},
    ]  # fmt: skip


def deliverable(world: World, log: FlowLog) -> bool:
    """Can files be sealed as the bucket says? AWS: not where its default key is named by anything but its ARN."""
    bucket = world.find(BUCKET, log.bucket)
    how = bucket.encryption if bucket is not None else None
    return how is None or how.algorithm != KMS or how.key is None or how.key.startswith("arn:")


def source_of(log: FlowLog) -> str:
    """`aws:SourceArn` of what is delivered for a flow log."""
    return f"arn:aws:logs:{log.region}:{log.owner_id}:*"
