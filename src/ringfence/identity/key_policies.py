"""The policy of a KMS key as one question meets it: the key policy, and the grants that apply (AWS KMS Developer Guide: "Key
policies", "Grants in AWS KMS").

A grant is a statement that allows its operations to its grantee. Whether its constraints hold is settled here, exactly: the names of
condition keys know no letter case, encryption contexts do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ringfence.identity.question import Attached
from ringfence.model.kinds import KMS_GRANT
from ringfence.model.nouns.kms import KmsGrant, KmsKey
from ringfence.model.world import World

#: AWS, CreateGrant, `Constraints`: they are for operations with an encryption context
WITH_CONTEXT = frozenset(
    {"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
)


def policy_of(
    world: World, key: KmsKey, action: str, context: Mapping[str, str] | None = None, grant: KmsGrant | None = None,
    source_arn: str | None = None,
) -> Attached:  # fmt: skip
    """What stands at the key for an action (`Decrypt`) with an encryption context; `grant`: the one that is to be retired."""
    found = world.by(KMS_GRANT, "key", key.id)
    statements = [*_granting(found, action, context or {}, source_arn), *(_retiring(grant) if grant else ())]
    allowed = tuple(json.dumps(one) for one in statements)
    return Attached(f"{key.id}/policy", _merged(key.policy, allowed) if allowed else key.policy)


def _granting(
    grants: Iterable[KmsGrant], action: str, context: Mapping[str, str], source_arn: str | None
) -> Iterator[dict[str, Any]]:
    for grant in grants:
        if action != "RetireGrant" and action in grant.operations and applies(grant, action, context, source_arn):
            yield _allow(action, grant.grantee, grant.grantee_service)


def applies(grant: KmsGrant, action: str, context: Mapping[str, str], source_arn: str | None) -> bool:
    """Do the grant's constraints hold for the request?"""
    if grant.source_arn is not None and grant.source_arn != source_arn:
        return False
    if action not in WITH_CONTEXT:
        return True
    if grant.equals is not None and dict(grant.equals) != dict(context):
        return False
    return grant.subset is None or all(context.get(name) == value for name, value in grant.subset)


def _retiring(grant: KmsGrant) -> Iterator[dict[str, Any]]:
    """RetireGrant: by the retiring principal, and by the grantee whose operations have it."""
    if grant.retiring is not None or grant.retiring_service is not None:
        yield _allow("RetireGrant", grant.retiring, grant.retiring_service)
    if "RetireGrant" in grant.operations:
        yield _allow("RetireGrant", grant.grantee, grant.grantee_service)


def _allow(action: str, principal: str | None, service: str | None) -> dict[str, Any]:
    who = {"AWS": principal} if principal is not None else {"Service": service}
    return {"Effect": "Allow", "Principal": who, "Action": f"kms:{action}", "Resource": "*"}


@lru_cache(1024)
def _merged(text: str, allowed: tuple[str, ...]) -> str:
    """All statements as one document. A policy of the older version has no variables: a `$` in it is one."""
    document = json.loads(text)
    if document.get("Version") != "2012-10-17":
        document = json.loads(text.replace("${", "${$}{"))
    given = document["Statement"]
    statements = [*(given if isinstance(given, list) else [given]), *map(json.loads, allowed)]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


# ---------------------------------------------------------------------- policies that are made here
def default_policy(account_id: str) -> str:
    """AWS KMS Developer Guide, "Default key policy": of a key made through the API without one."""
    statement = {
        "Sid": "Enable IAM User Permissions", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*", "Resource": "*",
    }  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}, indent=2)


def managed_policy(account_id: str, region: str, service: str) -> str:
    """The key policy of an AWS managed key: use by way of its service for everybody in the account whom the service lets in, and for
    the account a look at it (seen at keys of AWS: `auto-s3-2`)."""
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    look = ["kms:Describe*", "kms:Get*", "kms:List*"]
    through = {
        "Sid": f"Allow access through {service.upper()} for all principals in the account that are authorized to use "
               f"{service.upper()}",
        "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": use, "Resource": "*",
        "Condition": {"StringEquals": {
            "kms:CallerAccount": account_id, "kms:ViaService": f"{service}.{region}.amazonaws.com"}},
    }  # fmt: skip
    direct = {
        "Sid": "Allow direct access to key metadata to the account", "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"}, "Action": look, "Resource": "*",
    }  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Id": f"auto-{service}-2", "Statement": [through, direct]}, indent=2)
