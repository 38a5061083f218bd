"""Whose credentials are these, and why was a call refused? (AWS STS API Reference: GetCallerIdentity, GetAccessKeyInfo,
DecodeAuthorizationMessage; IAM-33.)"""

from __future__ import annotations

from ringfence.api.authorise.denial import decoded
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.sts.serve import sts
from ringfence.identity.identifiers import account_of
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCESS_KEY
from ringfence.model.world import World


@sts("GetCallerIdentity")
def get_caller_identity(call: Call, world: World, params: Params) -> Outcome:
    """Who the credentials belong to; allowed to everyone who can sign."""
    who = call.principal
    return Outcome({"UserId": who.user_id, "Account": who.account_id, "Arn": who.arn})


@sts("GetAccessKeyInfo")
def get_access_key_info(call: Call, world: World, params: Params) -> Outcome:
    """The account of an access key, which the key's id tells; not whether the key is still there.

    ApiError AccessDenied for an id that names no account: of a key that was given to the installation from outside.
    """
    id = str(params["AccessKeyId"])
    if id == call.principal.access_key_id:
        return Outcome({"Account": call.account_id})
    stored = world.find(ACCESS_KEY, id)
    account = stored.owner_id if stored is not None else account_of(id) if id[:4] in ("AKIA", "ASIA") else None
    if account is None:
        raise fault("AccessDenied", message=f"The account of the access key {id} cannot be told")
    return Outcome({"Account": account})


@sts("DecodeAuthorizationMessage")
def decode_authorization_message(call: Call, world: World, params: Params) -> Outcome:
    """The whole story of a refusal, for those who have the permission of that name. InvalidAuthorizationMessageException."""
    if call.sealer is None:
        raise fault("ServiceFailure")
    return Outcome({"DecodedMessage": decoded(str(params["EncodedMessage"]), call.account_id, call.sealer)})
