"""Grants (AWS KMS API Reference: CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant; AWS KMS Developer Guide:
"Grants in AWS KMS"). They hold at once; tokens are given and taken, and say nothing more."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import Any

from ringfence.api import keys
from ringfence.api.authorise import kms as authorise
from ringfence.api.authorise.request import request_context
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.policies import exists
from ringfence.api.ops.kms.serve import any_key, invalid, kms, page
from ringfence.identity.organization import organization_levels
from ringfence.identity.question import Question
from ringfence.model.errors import fault
from ringfence.model.kinds import KMS_GRANT
from ringfence.model.nouns.kms import KmsGrant, KmsKey
from ringfence.model.row import Tags
from ringfence.model.world import World, delete, put

#: AWS, CreateGrant, "Operations": those of symmetric encryption keys
OPERATIONS = frozenset({"CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair",
                        "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo",
                        "RetireGrant"})  # fmt: skip
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:(root|(user|role)/[^*?]+)|"
    r"arn:aws[a-z-]*:sts::[0-9]{12}:(assumed-role/[^*?/]+|federated-user)/[^*?]+"
)


@kms("CreateGrant", changes_world=True)
def create_grant(call: Call, world: World, params: Params) -> Outcome:
    """InvalidArnException, ValidationException, DisabledException, KMSInvalidStateException, LimitExceededException. AWS: a call with the
    name and the parameters of a grant that there is gives that grant."""
    key = keys.must_be_enabled(any_key(call, world, params["KeyId"]))
    made = _grant(call, world, key, params)
    held = world.by(KMS_GRANT, "key", key.id)
    same = next((one for one in held if made.name and replace(made, id=one.id, created=one.created) == one), None)
    _check_delegated(call, world, params, key, made)
    if same is not None:
        return Outcome(_reply(same), touched=(key.id,))
    call.check_quota("kms-grants-per-key", len(held) + 1)
    return Outcome(_reply(made), put(KMS_GRANT, made), touched=(key.id,))


def _reply(grant: KmsGrant) -> dict[str, str]:
    return {"GrantId": grant.id, "GrantToken": authorise.TOKEN + grant.id}


def _grant(call: Call, world: World, key: KmsKey, params: Params) -> KmsGrant:
    operations = tuple(dict.fromkeys(params["Operations"]))
    wrong = [name for name in operations if name not in OPERATIONS]
    if wrong or not operations:
        raise invalid(
            f"Operations {', '.join(wrong)} are not valid for the key." if wrong else "No operations are given."
        )
    if (params.get("GranteePrincipal") is None) == (params.get("GranteeServicePrincipal") is None):
        raise invalid("Exactly one of GranteePrincipal and GranteeServicePrincipal must be given.")
    if params.get("RetiringPrincipal") is not None and params.get("RetiringServicePrincipal") is not None:
        raise invalid("Only one of RetiringPrincipal and RetiringServicePrincipal can be given.")
    constraints = params.get("Constraints") or {}
    if constraints.get("EncryptionContextEquals") and constraints.get("EncryptionContextSubset"):
        raise invalid("Only one encryption context constraint can be given.")
    for name in ("GranteePrincipal", "RetiringPrincipal"):
        _check_principal(world, params.get(name))
    return KmsGrant(
        id=secrets.token_hex(32), owner_id=key.owner_id, region=key.region, key=key.id, created=call.now.timestamp(),
        issuer=call.account_id, operations=operations, grantee=params.get("GranteePrincipal"),
        grantee_service=params.get("GranteeServicePrincipal"), retiring=params.get("RetiringPrincipal"),
        retiring_service=params.get("RetiringServicePrincipal"), name=params.get("Name") or "",
        equals=_pairs(constraints.get("EncryptionContextEquals")), subset=_pairs(constraints.get("EncryptionContextSubset")),
        source_arn=constraints.get("SourceArn"),
    )  # fmt: skip


def _pairs(given: Params | None) -> Tags | None:
    return tuple(sorted(given.items())) if given else None


def _check_principal(world: World, arn: str | None) -> None:
    if arn is not None and not (_PRINCIPAL.fullmatch(arn) and exists(world, arn)):
        raise fault("InvalidArnException", message=f"ARN does not refer to a valid principal: {arn}")


def _check_delegated(call: Call, world: World, params: Params, key: KmsKey, made: KmsGrant) -> None:
    """AWS: whoever may create grants by a grant alone, can give no more than that grant has. ApiError AccessDeniedException."""
    held = world.by(KMS_GRANT, "key", key.id)
    if _may_create(call, world, params, key, None):
        return
    if not any(_within(made, one) and _may_create(call, world, params, key, one) for one in held):
        text = f"User: {call.principal.arn} is not authorized to perform: kms:CreateGrant on resource: {key.id}"
        raise fault("AccessDeniedException", message=f"{text} beyond the permissions of the grant that allows it")


def _may_create(call: Call, world: World, params: Params, key: KmsKey, only: KmsGrant | None) -> bool:
    """Could the caller make this grant, were there no other, or only that one?"""
    others = [one.id for one in world.by(KMS_GRANT, "key", key.id) if one is not only]
    alone = world.apply(delete(KMS_GRANT, *others)) if others else world
    asked = authorise.ask(alone, authorise.use_of(call, params, "CreateGrant", key.id))
    context = {**request_context(call, organization_levels(world, call.account_id)), **asked.context}
    question = Question(principal=call.principal, action=asked.action, targets=asked.targets, context=context)
    return authorise.decided(alone, question, key.owner_id).allowed


def _within(made: KmsGrant, parent: KmsGrant) -> bool:
    """No operation more, and constraints at least as narrow."""
    if "CreateGrant" not in parent.operations or not set(made.operations) <= set(parent.operations):
        return False
    if parent.source_arn is not None and made.source_arn != parent.source_arn:
        return False
    if parent.equals is not None:
        return made.equals == parent.equals
    given = dict(made.equals or made.subset or ())
    return parent.subset is None or all(given.get(name) == value for name, value in parent.subset)


# ---------------------------------------------------------------------- looking
@kms("ListGrants", changes_world=False)
def list_grants(call: Call, world: World, params: Params) -> Outcome:
    """Of one key; of one grantee or one id, when told."""
    key = any_key(call, world, params["KeyId"])
    wanted = [
        grant for grant in world.by(KMS_GRANT, "key", key.id)
        if params.get("GrantId") in (None, grant.id) and params.get("GranteePrincipal") in (None, grant.grantee)
        and params.get("GranteeServicePrincipal") in (None, grant.grantee_service)
    ]  # fmt: skip
    shown, rest = page(wanted, lambda grant: grant.id, params, default=50, most=100)
    return Outcome({"Grants": [_view(grant) for grant in shown], **rest}, touched=(key.id,))


@kms("ListRetirableGrants", changes_world=False)
def list_retirable_grants(call: Call, world: World, params: Params) -> Outcome:
    """Those of the Region that a principal of the caller's account may retire."""
    who, service = params.get("RetiringPrincipal"), params.get("RetiringServicePrincipal")
    if (who is None) == (service is None):
        raise invalid("Exactly one of RetiringPrincipal and RetiringServicePrincipal must be given.")
    if who is not None and (_PRINCIPAL.fullmatch(who) is None or who.split(":")[4] != call.account_id):
        raise fault("InvalidArnException", message=f"ARN does not refer to a valid principal: {who}")
    found = [grant for grant in world.by(KMS_GRANT, "retiring", who or service or "") if grant.region == call.region]
    if service is not None:
        found = [grant for grant in found if grant.owner_id == call.account_id]
    shown, rest = page(found, lambda grant: grant.id, params, default=50, most=100)
    return Outcome({"Grants": [_view(grant) for grant in shown], **rest})


def _view(grant: KmsGrant) -> dict[str, Any]:
    constraints = {
        **({"EncryptionContextEquals": dict(grant.equals)} if grant.equals is not None else {}),
        **({"EncryptionContextSubset": dict(grant.subset)} if grant.subset is not None else {}),
        **({"SourceArn": grant.source_arn} if grant.source_arn is not None else {}),
    }
    members = {
        "GranteePrincipal": grant.grantee, "GranteeServicePrincipal": grant.grantee_service,
        "RetiringPrincipal": grant.retiring, "RetiringServicePrincipal": grant.retiring_service,
        "Name": grant.name or None, "Constraints": constraints or None,
    }  # fmt: skip
    return {
        "KeyId": grant.key, "GrantId": grant.id, "CreationDate": keys.moment(grant.created),
        "IssuingAccount": f"arn:aws:iam::{grant.issuer}:root", "Operations": list(grant.operations),
        **{name: value for name, value in members.items() if value is not None},
    }  # fmt: skip


# ---------------------------------------------------------------------- ending
@kms("RevokeGrant", changes_world=True)
def revoke_grant(call: Call, world: World, params: Params) -> Outcome:
    """By whoever manages the key."""
    key = any_key(call, world, params["KeyId"])
    return _ended(world.find(KMS_GRANT, params["GrantId"]), key, params["GrantId"])


@kms("RetireGrant", changes_world=True)
def retire_grant(call: Call, world: World, params: Params) -> Outcome:
    """By its token, or by its key and id: by the retiring principal, or a grantee who may."""
    if params.get("GrantToken"):
        if params.get("KeyId") or params.get("GrantId"):
            raise invalid("Either GrantToken, or KeyId and GrantId, must be given.")
        grant = authorise.retired(call, world, params)
        if grant is None:
            raise fault("InvalidGrantTokenException", message="The grant token is not valid.")
        return Outcome({}, delete(KMS_GRANT, grant.id), touched=(grant.key,))
    if not params.get("KeyId") or not params.get("GrantId"):
        raise invalid("Either GrantToken, or KeyId and GrantId, must be given.")
    key = any_key(call, world, params["KeyId"])
    return _ended(authorise.retired(call, world, params), key, params["GrantId"])


def _ended(grant: KmsGrant | None, key: KmsKey, id: str) -> Outcome:
    if grant is None or grant.key != key.id:
        raise fault("NotFoundException", message=f"Grant ID {id} not found")
    return Outcome({}, delete(KMS_GRANT, grant.id), touched=(key.id,))
