"""Aliases (AWS KMS API Reference: CreateAlias, UpdateAlias, DeleteAlias, ListAliases)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api import keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.serve import invalid, key_itself, kms, page
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
    """All of them, or those of one key. AWS: a predefined one that has not been used yet is listed without a key."""
    views = {alias.name: _view(alias) for alias in call.mine(world, KMS_ALIAS)}
    if params.get("KeyId"):
        key = key_itself(call, world, params["KeyId"])
        if key.owner_id != call.account_id:
            raise keys.absent(key.id)
        views = {alias.name: _view(alias) for alias in keys.aliases(world, key)}
    else:
        start = keys.start_of(call.region, call.account_id)
        names = [f"{keys.ALIAS}aws/{service}" for service in keys.PREDEFINED]
        views = {name: {"AliasName": name, "AliasArn": start + name} for name in names} | views
    shown, rest = page(list(views), str, params, default=50, most=100)
    return Outcome({"Aliases": [views[name] for name in shown], **rest})


def _view(alias: KmsAlias) -> dict[str, Any]:
    return {
        "AliasName": alias.name, "AliasArn": alias.id, "TargetKeyId": alias.key.rpartition("/")[2],
        "CreationDate": keys.moment(alias.created), "LastUpdatedDate": keys.moment(alias.updated),
    }  # fmt: skip


def _arn(call: Call, params: Params) -> str:
    """ApiError for a name that is none, or AWS's. The codes and words are those that AWS was seen to give."""
    name = str(params["AliasName"])
    if not name.startswith(keys.ALIAS):
        raise invalid("Invalid identifier")
    if name == keys.ALIAS:
        raise fault("InvalidAliasNameException", message="The alias has no name.")
    if name.startswith("alias/aws/"):
        raise fault("NotAuthorizedException")
    if ":" in name:
        raise invalid(f"{name} contains invalid characters for an alias")
    return keys.start_of(call.region, call.account_id) + name


def _held(call: Call, world: World, params: Params) -> KmsAlias:
    arn = _arn(call, params)
    found = world.find(KMS_ALIAS, arn)
    if found is None:
        raise keys.absent(arn)
    return found


def _target(call: Call, world: World, params: Params) -> KmsKey:
    ref = str(params["TargetKeyId"])
    if keys.alias_of(keys.whole(ref, call.region, call.account_id)) is not None:
        raise invalid("Aliases must refer to keys. Not aliases")
    key = keys.must_stay(key_itself(call, world, ref))
    held = len([alias for alias in keys.aliases(world, key) if alias.name != params["AliasName"]])
    call.check_quota("kms-aliases-per-key", held + 1)
    return key
