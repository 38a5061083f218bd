"""GetFlowLogsIntegrationTemplate (Amazon EC2 API Reference; FL-58): a CloudFormation template, written into a bucket."""

from __future__ import annotations

import re

from ringfence.api.authorise import s3
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import register
from ringfence.api.ops.s3.encryption import sealing
from ringfence.insight.flowlogs.template import cloudformation
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import BUCKET, FLOW_LOG
from ringfence.model.nouns.flow_log import S3
from ringfence.model.world import World

_ARN = re.compile(r"arn:aws:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9!_.*'()/=-]*)?)")


def get_flow_logs_integration_template(call: Call, world: World, params: Params) -> Outcome:
    """`Result`: where the template is. The caller must be allowed to put it there.

    InvalidFlowLogId.NotFound, InvalidParameter, AccessDenied, UnsupportedOperation.
    """
    log = call.get(world, FLOW_LOG, params["FlowLogId"])
    if log.owner_id != call.account_id:
        raise fault("InvalidFlowLogId.NotFound", id=log.id)
    if log.destination_type != S3:
        raise fault("InvalidParameter", message=f"Flow log {log.id} is not delivered to Amazon S3")
    integrations = params["IntegrateServices"].get("AthenaIntegrations") or []
    if len(integrations) != 1:
        raise fault("InvalidParameter", message="Exactly one Athena integration must be given")
    results, folder = _place(integrations[0]["IntegrationResultS3DestinationArn"])
    bucket, prefix = _place(params["ConfigDeliveryS3DestinationArn"])
    key = f"{prefix}VPCFlowLogsIntegrationTemplate_{log.id}_{call.now:%Y%m%dT%H%M%SZ}.json"
    s3.check(call, world, "s3:PutObject", bucket, key)
    text = cloudformation(log, f"s3://{results}/{folder}")
    _put(call, world, bucket, key, text.encode())
    return Outcome({"Result": f"https://{bucket}.s3.{log.region}.amazonaws.com/{key}"})


def _place(arn: str) -> tuple[str, str]:
    """Bucket and folder, which ends with a slash if there is one."""
    found = _ARN.fullmatch(arn)
    if found is None:
        raise fault("InvalidParameter", message=f"Not the ARN of a bucket or of a folder in one: {arn[:200]}")
    folder = found[2].strip("/")
    return found[1], f"{folder}/" if folder else ""


def _put(call: Call, world: World, bucket: str, key: str, body: bytes) -> None:
    if call.objects is None:
        raise fault("UnsupportedOperation", message="This installation has no buckets.")
    with call.objects.lock:  # the bucket cannot go in between
        held = world.find(BUCKET, bucket)
        if held is None:
            raise _gone(bucket)
        try:
            how = sealing(call, world, held, key, {})
            call.objects.put(bucket, key, body, content_type="application/json", sealing=how)
        except OSError:
            raise fault("InternalError") from None


def _gone(bucket: str) -> ApiError:
    return fault("InvalidParameter", message=f"The bucket {bucket} does not exist")


register(
    "ec2:GetFlowLogsIntegrationTemplate", get_flow_logs_integration_template, mutating=False, module=__name__,
    objects=True, aside=True,
)  # fmt: skip
