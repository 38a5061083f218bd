"""Keys and their states (AWS KMS API Reference: CreateKey, DescribeKey, EnableKey, ScheduleKeyDeletion …).

Served: symmetric encryption keys with material of KMS's own, for one Region. Everything else is refused.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ringfence.api import data_keys, keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.policies import checked_policy
from ringfence.api.ops.kms.serve import any_key, invalid, key_itself, kms, page, unsupported
from ringfence.api.ops.kms.tags import checked_tags
from ringfence.identity import key_policies
from ringfence.model.errors import fault
from ringfence.model.kinds import KMS_ALIAS, KMS_GRANT, KMS_KEY, KMS_MATERIAL
from ringfence.model.nouns.kms import KmsKey
from ringfence.model.world import Change, World, delete, put

SPEC, USAGE, ORIGIN = "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"
SHORTEST, LONGEST = 7, 30  # days before a key is deleted


@kms("CreateKey", changes_world=True)
def create_key(call: Call, world: World, params: Params) -> Outcome:
    """UnsupportedOperationException, MalformedPolicyDocumentException, TagException, LimitExceededException."""
    _check_kind(params)
    mine = sum(key.managed is None for key in call.mine(world, KMS_KEY))
    call.check_quota("kms-keys", mine + 1)
    tags = checked_tags((), params.get("Tags") or ())
    policy = params.get("Policy") or key_policies.default_policy(call.account_id)
    key, change = keys.new_key(call, policy, description=params.get("Description") or "", tags=tags)
    checked_policy(call, world, key, policy, bypass=bool(params.get("BypassPolicyLockoutSafetyCheck")))
    return Outcome({"KeyMetadata": view(key)}, change, touched=(key.id,))


def _check_kind(params: Params) -> None:
    spec, old = params.get("KeySpec"), params.get("CustomerMasterKeySpec")
    if spec and old:
        text = "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."
        raise invalid(text)
    if (spec or old or SPEC) != SPEC:
        raise unsupported(f"KeySpec {spec or old} is not supported by this installation.")
    if (params.get("KeyUsage") or USAGE) != USAGE:
        raise invalid(f"KeyUsage {params['KeyUsage']} is not compatible with KeySpec {SPEC}")
    if (params.get("Origin") or ORIGIN) != ORIGIN or params.get("CustomKeyStoreId") or params.get("XksKeyId"):
        raise unsupported("Key material from elsewhere and custom key stores are not supported by this installation.")
    if params.get("MultiRegion"):
        raise unsupported("Multi-Region keys are not supported by this installation.")


def view(key: KmsKey) -> dict[str, Any]:
    """`KeyMetadata` of the API."""
    return {
        "AWSAccountId": key.owner_id, "KeyId": key.uuid, "Arn": key.id, "CreationDate": keys.moment(key.created),
        "Enabled": keys.state_of(key) == "Enabled", "Description": key.description, "KeyUsage": USAGE,
        "KeyState": keys.state_of(key), "Origin": ORIGIN, "KeyManager": "AWS" if key.managed else "CUSTOMER",
        "CustomerMasterKeySpec": SPEC, "KeySpec": SPEC, "EncryptionAlgorithms": [SPEC], "MultiRegion": False,
        "CurrentKeyMaterialId": key.current,
        **({"DeletionDate": keys.moment(key.deletion)} if key.deletion is not None else {}),
    }  # fmt: skip


@kms("DescribeKey", changes_world=False, aside=True)
def describe_key(call: Call, world: World, params: Params) -> Outcome:
    """AWS: asked about a predefined alias without a key, KMS makes the AWS managed key."""
    ref = params["KeyId"]
    service = ref.removeprefix(keys.start_of(call.region, call.account_id)).removeprefix("alias/aws/")
    alias = f"{keys.start_of(call.region, call.account_id)}alias/aws/{service}"
    if service in keys.PREDEFINED and ref.endswith(f"alias/aws/{service}") and world.find(KMS_ALIAS, alias) is None:
        world = call.commit(lambda now: data_keys.first_use(call, now, service))
    key = any_key(call, world, ref)
    return Outcome({"KeyMetadata": view(key)}, touched=(key.id,))


@kms("ListKeys", changes_world=False)
def list_keys(call: Call, world: World, params: Params) -> Outcome:
    if "OTHER_ACCOUNTS_VIA_RAM" in (params.get("ResourceOwners") or ()):
        raise unsupported("Keys are not shared through AWS RAM by this installation.")
    mine = [key for key in call.mine(world, KMS_KEY) if not _due(key, call.now)]
    shown, rest = page(mine, lambda key: key.uuid, params, default=100, most=1000)
    return Outcome({"Keys": [{"KeyId": key.uuid, "KeyArn": key.id} for key in shown], **rest})


@kms("EnableKey", changes_world=True)
def enable_key(call: Call, world: World, params: Params) -> Outcome:
    return _switched(call, world, params, enabled=True)


@kms("DisableKey", changes_world=True)
def disable_key(call: Call, world: World, params: Params) -> Outcome:
    """At once: what it encrypted cannot be read until it is enabled again."""
    return _switched(call, world, params, enabled=False)


def _switched(call: Call, world: World, params: Params, *, enabled: bool) -> Outcome:
    key = keys.must_stay(key_itself(call, world, params["KeyId"]))
    return Outcome({}, put(KMS_KEY, replace(key, enabled=enabled)), touched=(key.id,))


@kms("UpdateKeyDescription", changes_world=True)
def update_key_description(call: Call, world: World, params: Params) -> Outcome:
    key = keys.must_stay(key_itself(call, world, params["KeyId"]))
    return Outcome({}, put(KMS_KEY, replace(key, description=params["Description"])), touched=(key.id,))


# ---------------------------------------------------------------------- deletion
@kms("ScheduleKeyDeletion", changes_world=True)
def schedule_key_deletion(call: Call, world: World, params: Params) -> Outcome:
    """After 7 to 30 days, 30 when not told. ValidationException, KMSInvalidStateException."""
    key = keys.must_stay(key_itself(call, world, params["KeyId"]))
    days = params.get("PendingWindowInDays") or LONGEST
    if not SHORTEST <= days <= LONGEST:
        raise invalid(f"PendingWindowInDays must be between {SHORTEST} and {LONGEST}.")
    when = call.now.timestamp() + days * keys.DAY
    reply = {
        "KeyId": key.id, "DeletionDate": keys.moment(when), "KeyState": "PendingDeletion", "PendingWindowInDays": days
    }  # fmt: skip
    return Outcome(reply, put(KMS_KEY, replace(key, enabled=False, deletion=when, window=days)), touched=(key.id,))


@kms("CancelKeyDeletion", changes_world=True)
def cancel_key_deletion(call: Call, world: World, params: Params) -> Outcome:
    """The key is disabled then. KMSInvalidStateException when it is not pending deletion."""
    key = key_itself(call, world, params["KeyId"])
    if key.deletion is None:
        raise fault("KMSInvalidStateException", message=f"{key.id} is not pending deletion.")
    kept = replace(key, deletion=None, window=None)
    return Outcome({"KeyId": key.id}, put(KMS_KEY, kept), touched=(key.id,))


def _due(key: KmsKey, now: datetime) -> bool:
    return key.deletion is not None and key.deletion <= now.timestamp()


def due(world: World, now: datetime) -> list[KmsKey]:
    """The keys whose time has come."""
    return [key for key in world.all(KMS_KEY) if _due(key, now)]


def erased(world: World, key: KmsKey) -> Change:
    """The end of a key: with its material goes whatever it encrypted."""
    return (
        delete(KMS_MATERIAL, *(row.id for row in world.by(KMS_MATERIAL, "key", key.id)))
        + delete(KMS_ALIAS, *(row.id for row in world.by(KMS_ALIAS, "key", key.id)))
        + delete(KMS_GRANT, *(row.id for row in world.by(KMS_GRANT, "key", key.id)))
        + delete(KMS_KEY, key.id)
    )
