"""Aliases (AWS KMS API Reference: CreateAlias, UpdateAlias, DeleteAlias, ListAliases)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api import keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.serve import key_itself, kms, page
from ringfence.model.errors import fault
from ringfence.model.kinds import KMS_ALIAS
from ringfence.model.nouns.kms import KmsAlias, KmsKey
from ringfence.model.world import World, delete, put


@kms("CreateAlias", changes_world=True)
def create_alias(call: Call, world: World, params: Params) -> Outcome:
    """InvalidAliasNameException, AlreadyExistsException, NotFoundException, KMSInvalidStateException, LimitExceededException."""
    arn = _arn(call, params)
    key = _target(call, world, params)
    if world.find(KMS_ALIAS, arn) is not None:
        raise fault("AlreadyExistsException", message=f"An alias with the name {arn} already exists")
    now = call.now.timestamp()
    made = KmsAlias(id=arn, **call.owned(), name=params["AliasName"], key=key.id, created=now, updated=now)
    return Outcome({}, put(KMS_ALIAS, made), touched=(key.id,))


@kms("UpdateAlias", changes_world=True)
def update_alias(call: Call, world: World, params: Params) -> Outcome:
    """Of another key from now on. The key that loses it may be in any state."""
    held = _held(call, world, params)
    key = _target(call, world, params)
    changed = replace(held, key=key.id, updated=call.now.timestamp())
    return Outcome({}, put(KMS_ALIAS, changed), touched=(held.key, key.id))


@kms("DeleteAlias", changes_world=True)
def delete_alias(call: Call, world: World, params: Params) -> Outcome:
    held = _held(call, world, params)
    return Outcome({}, delete(KMS_ALIAS, held.id), touched=(held.key,))


@kms("ListAliases", changes_world=False)
def list_aliases(call: Call, world: World, params: Params) -> Outcome:
    """All of them, or those of one key."""
    mine = call.mine(world, KMS_ALIAS)
    if params.get("KeyId"):
        key = key_itself(call, world, params["KeyId"])
        mine = [alias for alias in mine if alias.key == key.id]
    shown, rest = page(mine, lambda alias: alias.name, params, default=50, most=100)
    return Outcome({"Aliases": [_view(alias) for alias in shown], **rest})


def _view(alias: KmsAlias) -> dict[str, Any]:
    return {
        "AliasName": alias.name, "AliasArn": alias.id, "TargetKeyId": alias.key.rpartition("/")[2],
        "CreationDate": keys.moment(alias.created), "LastUpdatedDate": keys.moment(alias.updated),
    }  # fmt: skip


def _arn(call: Call, params: Params) -> str:
    """ApiError InvalidAliasNameException for a name that is none, or AWS's."""
    name = params["AliasName"]
    if not name.startswith(keys.ALIAS) or name == keys.ALIAS:
        raise fault("InvalidAliasNameException", message="Alias must start with the prefix \"alias/\". Please see "
                    "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")  # fmt: skip
    if name.startswith("alias/aws/"):
        raise fault("InvalidAliasNameException", message="Aliases cannot begin with alias/aws/: they are AWS's.")
    if ":" in name:
        raise fault("InvalidAliasNameException", message=f"{name} contains invalid characters for an alias")
    return keys.start_of(call.region, call.account_id) + str(name)


def _held(call: Call, world: World, params: Params) -> KmsAlias:
    arn = _arn(call, params)
    found = world.find(KMS_ALIAS, arn)
    if found is None:
        raise keys.absent(arn)
    return found


def _target(call: Call, world: World, params: Params) -> KmsKey:
    key = keys.must_stay(key_itself(call, world, params["TargetKeyId"]))
    held = len([alias for alias in keys.aliases(world, key) if alias.name != params["AliasName"]])
    call.check_quota("kms-aliases-per-key", held + 1)
    return key
