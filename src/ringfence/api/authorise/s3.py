"""What an S3 request touches: buckets and objects, with the bucket's policy (Service Authorization Reference, "Amazon S3"; POL-17,
POL-23 … POL-26).

S3's actions are named after permissions, not operations. A bucket belongs to an account; a caller of another one needs
both its own policies and the bucket's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote

from ringfence.api.authorise.ask import Ask, Values
from ringfence.api.authorise.denial import refusal
from ringfence.api.authorise.request import principal_context, request_context
from ringfence.api.ops.context import Call, Params
from ringfence.identity.evaluate import decide
from ringfence.identity.gather import policies_of
from ringfence.identity.organization import organization_levels
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Effect, Question, Target
from ringfence.model.kinds import BUCKET
from ringfence.model.world import World

#: operation -> action, where they differ
ACTIONS: Mapping[str, str] = {
    "AbortMultipartUpload": "AbortMultipartUpload", "CompleteMultipartUpload": "PutObject", "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject", "DeleteBucketEncryption": "PutEncryptionConfiguration", "DeleteObjects": "DeleteObject",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS", "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration", "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration", "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock", "HeadBucket": "ListBucket", "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets", "ListMultipartUploads": "ListBucketMultipartUploads", "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket", "ListParts": "ListMultipartUploadParts",
    "PutBucketEncryption": "PutEncryptionConfiguration", "UploadPart": "PutObject", "UploadPartCopy": "PutObject",
}  # fmt: skip
#: parameter -> condition key of the action it is given with
_KEYS = {
    "ACL": "s3:x-amz-acl", "CopySource": "s3:x-amz-copy-source", "MetadataDirective": "s3:x-amz-metadata-directive",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "StorageClass": "s3:x-amz-storage-class", "VersionId": "s3:versionid",
    "Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "MaxKeys": "s3:max-keys", "ObjectOwnership": "s3:x-amz-object-ownership",
}  # fmt: skip
#: AWS: no bucket policy keeps the root of the bucket's account from mending it
_ALWAYS_ROOTS = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})


def action_of(operation: str) -> str:
    return f"s3:{ACTIONS.get(operation, operation)}"


def _target(caller: Principal, world: World, action: str, bucket: str, key: str | None = None) -> Target:
    """A bucket or an object in it. One that does not exist counts as the caller's: it will be told NoSuchBucket."""
    arn = f"arn:aws:s3:::{bucket}" if key is None else f"arn:aws:s3:::{bucket}/{key}"
    held = world.find(BUCKET, bucket)
    if held is None:
        return Target(arn=arn, account_id=caller.account_id)
    context = {"s3:resourceaccount": held.owner_id, "aws:resourceaccount": held.owner_id}
    policy = Attached(f"arn:aws:s3:::{bucket}/policy", held.policy) if held.policy is not None else None
    mending = action in _ALWAYS_ROOTS and caller.is_root and caller.account_id == held.owner_id
    return Target(arn=arn, account_id=held.owner_id, context=context, policy=None if mending else policy)


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """Every question that an S3 call puts; DeleteObjects asks for each key when it runs."""
    action, context = action_of(call.action), _context(params)
    if "Bucket" not in params or call.action == "CreateBucket":  # none of anybody's yet
        arn = f"arn:aws:s3:::{params['Bucket']}" if "Bucket" in params else "*"
        yield Ask(action, (Target(arn=arn, account_id=call.account_id),), context)
        return
    yield Ask(action, (_target(call.principal, world, action, params["Bucket"], params.get("Key")),), context)
    if params.get("CopySource"):
        bucket, _, key = unquote(str(params["CopySource"]).partition("?")[0]).removeprefix("/").partition("/")
        yield Ask(
            "s3:GetObject",
            (_target(call.principal, world, "s3:GetObject", bucket, key),),
            {"s3:signatureversion": _VERSION},
        )


_VERSION = "AWS4-HMAC-SHA256"


def _context(params: Params) -> Values:
    held: Values = {"s3:signatureversion": _VERSION}
    for name, key in _KEYS.items():
        if params.get(name) is not None:
            held[key] = str(params[name])
    where = (params.get("CreateBucketConfiguration") or {}).get("LocationConstraint")
    if where:
        held["s3:locationconstraint"] = str(where)
    return held


def check(call: Call, world: World, action: str, bucket: str, key: str | None = None) -> None:
    """One question an operation puts while it runs. ApiError AccessDenied."""
    whom = _target(call.principal, world, action, bucket, key)
    context = request_context(call, organization_levels(world, call.account_id)) | _context({})
    question = Question(principal=call.principal, action=action, targets=(whom,), context=context)
    decision = decide(question, policies_of(world, call.principal, whom.account_id, call.vpc_endpoint))
    if not decision.allowed:
        raise refusal(question, decision, call.sealer, call.service)


# ---------------------------------------------------------------------- log delivery
@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """A service that delivers into a bucket, for a resource (a trail, a flow log) of an account. `headers`: what its requests say of
    encryption, as condition keys."""

    service: str
    source_arn: str
    account_id: str
    region: str
    now: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


def may_deliver(world: World, what: Delivering, bucket: str, prefix: str, *, stated: bool = False) -> bool:
    """May the service read the bucket's ACL and put objects below a prefix, with the owner's full control (POL-17; AWS CloudTrail
    User Guide, "Amazon S3 bucket policy for CloudTrail")? A bucket of the account itself needs no statement here, but a Deny counts.
    `stated`: does its policy say so, whoever owns it?
    """
    held = world.find(BUCKET, bucket)
    if held is None:
        return False
    who = Principal(
        account_id="", arn=what.service, user_id=what.service, kind=PrincipalKind.SERVICE, name=what.service
    )
    context = principal_context(who, int(what.now.timestamp())) | {
        "aws:currenttime": what.now.strftime("%Y-%m-%dT%H:%M:%SZ"), "aws:epochtime": str(int(what.now.timestamp())),
        "aws:requestedregion": what.region, "aws:securetransport": "true", "aws:sourcearn": what.source_arn,
        "aws:sourceaccount": what.account_id,
    }  # fmt: skip
    full = {**context, **what.headers, "s3:x-amz-acl": "bucket-owner-full-control"}
    policies, own = policies_of(world, who, held.owner_id), held.owner_id == what.account_id and not stated
    for action, key, keys in (("s3:GetBucketAcl", None, context), ("s3:PutObject", prefix, full)):
        targets = (_target(who, world, action, bucket, key),)
        decision = decide(Question(principal=who, action=action, targets=targets, context=keys), policies)
        if decision.effect is Effect.EXPLICIT_DENY or not (own or decision.allowed):
            return False
    return True
