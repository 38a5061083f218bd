"""Access keys (IAM User Guide: "Manage access keys for IAM users"; IAM-06, IAM-07).

The secret is in the reply of CreateAccessKey and nowhere else; what is stored is sealed (DATA-04).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.entities import caller_or
from ringfence.api.ops.iam.pages import instant, now, page
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.credentials import secret_purpose
from ringfence.identity.identifiers import access_key_id, secret_key
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCESS_KEY, USER
from ringfence.model.nouns.identity import AccessKey, User
from ringfence.model.world import World, delete, put

ROOT = "<root_account>"


def keys_of(call: Call, world: World, owner: User | None) -> list[AccessKey]:
    """The keys of a user, or of the account's root, in order of creation."""
    if owner is not None:
        return world.by(ACCESS_KEY, "user", owner.id)
    return [key for key in call.mine(world, ACCESS_KEY) if key.user_id is None]


def _find(call: Call, world: World, params: Params) -> AccessKey:
    """The key that a call names, if it is that user's. ApiError NoSuchEntity."""
    wanted = params["AccessKeyId"]
    for key in keys_of(call, world, caller_or(call, world, params)):
        if key.id == wanted:
            return key
    raise fault("NoSuchEntity", message=f"The Access Key with id {wanted} cannot be found.")


def _show(key: AccessKey, owner: User | None) -> dict[str, Any]:
    return {
        "UserName": owner.name if owner else ROOT,
        "AccessKeyId": key.id,
        "Status": "Active" if key.active else "Inactive",
        "CreateDate": instant(key.created),
    }


@iam("CreateAccessKey")
def create_access_key(call: Call, world: World, params: Params) -> Outcome:
    """A new key and its secret. LimitExceeded for a third one."""
    owner = caller_or(call, world, params)
    call.check_quota("iam-access-keys-per-user", len(keys_of(call, world, owner)) + 1)
    secret, id = secret_key(call.ids), access_key_id(call.ids, call.account_id)
    while world.find(ACCESS_KEY, id) is not None:
        id = access_key_id(call.ids, call.account_id)
    key = AccessKey(
        id=id, **call.owned(), user_id=owner.id if owner else None, created=now(call),
        sealed=call.seal(secret.encode(), secret_purpose(id)),
    )  # fmt: skip
    return Outcome({"AccessKey": _show(key, owner) | {"SecretAccessKey": secret}}, put(ACCESS_KEY, key))


@iam("ListAccessKeys")
def list_access_keys(call: Call, world: World, params: Params) -> Outcome:
    owner = caller_or(call, world, params)
    keys, more = page(keys_of(call, world, owner), params, key=lambda key: key.id)
    return Outcome({"AccessKeyMetadata": [_show(key, owner) for key in keys], **more})


@iam("UpdateAccessKey")
def update_access_key(call: Call, world: World, params: Params) -> Outcome:
    """Active or Inactive, effective with the next request (IAM-07)."""
    key = _find(call, world, params)
    if params["Status"] not in ("Active", "Inactive"):
        raise fault("ValidationError", message="A key's status is Active or Inactive")
    return Outcome({}, put(ACCESS_KEY, replace(key, active=params["Status"] == "Active")))


@iam("DeleteAccessKey")
def delete_access_key(call: Call, world: World, params: Params) -> Outcome:
    return Outcome({}, delete(ACCESS_KEY, _find(call, world, params).id))


@iam("GetAccessKeyLastUsed")
def get_access_key_last_used(call: Call, world: World, params: Params) -> Outcome:
    """When, for which service and in which Region a key last signed a request; N/A for a key never used."""
    key = world.find(ACCESS_KEY, params["AccessKeyId"])
    if key is None or key.owner_id != call.account_id:
        raise fault("NoSuchEntity", message=f"The Access Key with id {params['AccessKeyId']} cannot be found.")
    owner = world.find(USER, key.user_id)
    return Outcome({"UserName": owner.name if owner else ROOT, "AccessKeyLastUsed": last_used(call, key)})


def last_used(call: Call, key: AccessKey) -> dict[str, str]:
    """A key's last use, as stored or as noted since."""
    use = call.uses.newest(key)
    if use is None:
        return {"ServiceName": "N/A", "Region": "N/A"}
    return {"LastUsedDate": instant(use.time), "ServiceName": use.service, "Region": use.region}
