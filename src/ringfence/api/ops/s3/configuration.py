"""What a bucket is configured to do (Amazon S3 API Reference: GetBucketVersioning, GetBucketLogging …): what is so here.

None of it can be set: nothing is versioned, replicated, expired, tagged or served as a web site, and
ACLs are disabled.
"""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import Handler, operation, register
from ringfence.api.ops.s3.common import bucket_of, owner
from ringfence.model.errors import fault
from ringfence.model.world import World

#: operation -> the fault AWS gives where nothing was ever set
_ABSENT = {
    "GetBucketCors": "NoSuchCORSConfiguration",
    "GetBucketLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "GetBucketReplication": "ReplicationConfigurationNotFoundError",
    "GetBucketTagging": "NoSuchTagSet",
    "GetBucketWebsite": "NoSuchWebsiteConfiguration",
    "GetObjectLockConfiguration": "ObjectLockConfigurationNotFoundError",
    "GetPublicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
}
#: operation -> what it answers
_SO: dict[str, dict[str, Any]] = {
    "GetBucketVersioning": {},  # AWS: neither member, where it was never switched on
    "GetBucketLogging": {},
    "GetBucketNotificationConfiguration": {},
    "GetBucketAccelerateConfiguration": {},
    "GetBucketRequestPayment": {"Payer": "BucketOwner"},
    "GetBucketOwnershipControls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
}


def _absent(code: str) -> Handler:
    def handle(call: Call, world: World, params: Params) -> Outcome:
        bucket_of(call, world, params)
        raise fault(code)

    return handle


def _so(reply: dict[str, Any]) -> Handler:
    def handle(call: Call, world: World, params: Params) -> Outcome:
        bucket_of(call, world, params)
        return Outcome(reply)

    return handle


for _action, _code in _ABSENT.items():
    register(f"s3:{_action}", _absent(_code), mutating=False, module=__name__)
for _action, _reply in _SO.items():
    register(f"s3:{_action}", _so(_reply), mutating=False, module=__name__)


@operation("s3:GetBucketAcl")
def get_bucket_acl(call: Call, world: World, params: Params) -> Outcome:
    """ACLs are disabled: the owner has full control."""
    holder = owner(bucket_of(call, world, params).owner_id)
    return Outcome({
        "Owner": holder, "Grants": [{"Grantee": {"Type": "CanonicalUser", **holder}, "Permission": "FULL_CONTROL"}]
    })  # fmt: skip
