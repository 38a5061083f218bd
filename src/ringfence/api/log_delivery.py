"""May the log delivery service write into a bucket? (Amazon VPC User Guide: "Amazon S3 bucket permissions for flow logs";
FL-53, FL-59.)

AWS adds its statements to the policy of a bucket of the creator's own; here such a bucket needs no statement, but a Deny in
its policy counts. Another account's bucket must allow the delivery service, by `aws:SourceAccount` and `aws:SourceArn` if it
likes.
"""

from __future__ import annotations

from ringfence.identity.evaluate import decide
from ringfence.identity.question import Attached, Effect, Policies, Question, Target
from ringfence.identity.roles import service_principal
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import World

_SERVICE = "delivery.logs.amazonaws.com"


def may_deliver(world: World, log: FlowLog) -> bool:
    """False also when the bucket does not exist."""
    bucket = world.find(BUCKET, log.bucket)
    if bucket is None:
        return False
    own = bucket.owner_id == log.owner_id
    if bucket.policy is None:
        return own
    where = "/".join(
        part for part in (log.folder, "AWSLogs", f"{'aws-account-id=' if log.hive else ''}{log.owner_id}") if part
    )
    target = Target(
        arn=f"arn:aws:s3:::{bucket.id}/{where}/object", account_id=bucket.owner_id,
        context={"s3:x-amz-acl": "bucket-owner-full-control"}, policy=Attached(f"arn:aws:s3:::{bucket.id}/policy", bucket.policy),
    )  # fmt: skip
    context = {
        "aws:principalisawsservice": "true", "aws:principalservicename": _SERVICE, "aws:sourceaccount": log.owner_id,
        "aws:sourcearn": f"arn:aws:logs:{log.region}:{log.owner_id}:*",
    }  # fmt: skip
    question = Question(
        principal=service_principal(_SERVICE), action="s3:PutObject", targets=(target,), context=context
    )
    decision = decide(question, Policies())
    return decision.effect is not Effect.EXPLICIT_DENY if own else decision.allowed
