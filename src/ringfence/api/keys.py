"""How requests name KMS keys: by id, ARN, alias name or alias ARN (AWS KMS Developer Guide: "Key identifiers"), and what state a key
must be in (same guide: "Key states of AWS KMS keys").
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ringfence.api.ops.context import Call
from ringfence.identity import key_policies
from ringfence.identity.ciphertext import Material, new_material
from ringfence.identity.sealing import Sealer, SealError
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import KMS_ALIAS, KMS_KEY, KMS_MATERIAL
from ringfence.model.nouns.kms import KmsAlias, KmsKey, KmsMaterial
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put

ALIAS = "alias/"
DAY, YEAR = 86_400.0, 365  # seconds; days between automatic rotations, where none are given
#: AWS KMS Developer Guide, "Aliases": predefined ones; such a one gets its AWS managed key on first use
PREDEFINED = frozenset({"acm", "backup", "dynamodb", "ebs", "elasticfilesystem", "es", "fsx", "kinesis", "kinesisvideo", "lambda", "rds",
                        "redshift", "s3", "secretsmanager", "sns", "sqs", "ssm", "xray"})  # fmt: skip
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ARN = re.compile(r"arn:aws:kms:([a-z0-9-]*):([0-9]{12}):((?:key|alias)/.+)")


def start_of(region: str, account_id: str) -> str:
    """The beginning of the ARNs of an account's keys and aliases."""
    return f"arn:aws:kms:{region}:{account_id}:"


def key_arn(region: str, account_id: str, uuid: str) -> str:
    return f"{start_of(region, account_id)}key/{uuid}"


def whole(ref: str, region: str, account_id: str) -> str:
    """The ARN of the key or alias that a reference names. ApiError NotFoundException for what cannot be a name of one."""
    if ref.startswith("arn:"):
        found = _ARN.fullmatch(ref)
        if found is None:
            raise fault("InvalidArnException", message=f"Invalid arn {ref[:256]}")
        if found[1] != region:  # AWS: in these words
            raise fault("NotFoundException", message=f"Invalid arn {found[1]}")
        return ref
    if ref.startswith(ALIAS):
        return start_of(region, account_id) + ref
    if _UUID.fullmatch(ref) is None:
        raise fault("NotFoundException", message=f"Invalid keyId '{ref[:256]}'")
    return key_arn(region, account_id, ref)


def alias_of(arn: str) -> str | None:
    """`alias/NAME` of an alias ARN."""
    name = arn.split(":", 5)[5]
    return name if name.startswith(ALIAS) else None


def found(world: World, arn: str, now: datetime) -> KmsKey | None:
    """The key of a key or alias ARN; None also when its time has come, though nobody has deleted it yet."""
    alias = world.find(KMS_ALIAS, arn)
    key = world.find(KMS_KEY, alias.key if alias is not None else arn)
    gone = key is not None and key.deletion is not None and key.deletion <= now.timestamp()
    return None if gone else key


def absent(arn: str) -> ApiError:
    """Nothing is named so."""
    if alias_of(arn) is not None:
        return fault("NotFoundException", message=f"Alias {arn} is not found.")
    return fault("NotFoundException", message=f"Key '{arn}' does not exist")


def named(world: World, ref: str, *, region: str, account_id: str, now: datetime) -> KmsKey:
    """ApiError NotFoundException, InvalidArnException."""
    arn = whole(ref, region, account_id)
    key = found(world, arn, now)
    if key is None:
        raise absent(arn)
    return key


def aliases(world: World, key: KmsKey) -> list[KmsAlias]:
    return world.by(KMS_ALIAS, "key", key.id)


# ---------------------------------------------------------------------- states
def state_of(key: KmsKey) -> str:
    if key.deletion is not None:
        return "PendingDeletion"
    return "Enabled" if key.enabled else "Disabled"


def must_stay(key: KmsKey) -> KmsKey:
    """ApiError KMSInvalidStateException while the key is pending deletion."""
    if key.deletion is not None:
        raise fault("KMSInvalidStateException", message=f"{key.id} is pending deletion.")
    return key


def must_be_enabled(key: KmsKey) -> KmsKey:
    """ApiError KMSInvalidStateException, DisabledException."""
    if not must_stay(key).enabled:
        raise fault("DisabledException", id=key.id)
    return key


# ---------------------------------------------------------------------- material
def purpose(key: str, material: str) -> str:
    """What the installation's sealer binds a material to."""
    return f"kms/{key}/{material}"


def material_of(world: World, key: KmsKey, material: str, sealer: Sealer | None) -> Material | None:
    """The material whose id begins so; None when the key has none. ApiError KMSInternalException without a sealing key; SealError."""
    held = _held(world, key, material)
    if held is None:
        return None
    try:
        if sealer is None:
            raise SealError
        return Material(held.material, sealer.open(bytes.fromhex(held.sealed), purpose(key.id, held.material)))
    except SealError:
        text = "The key material cannot be opened: the sealing key is missing."
        raise fault("KMSInternalException", message=text) from None


def _held(world: World, key: KmsKey, material: str) -> KmsMaterial | None:
    return next((one for one in world.by(KMS_MATERIAL, "key", key.id) if one.material.startswith(material)), None)


def material_id(world: World, key: KmsKey, start: str) -> str:
    """The whole id of the material that begins so; empty when the key has none."""
    held = _held(world, key, start)
    return held.material if held is not None else ""


def sealed(call: Call, key: str, how: str | None = None) -> KmsMaterial:
    """Fresh material for a key. ApiError KMSInternalException without a sealing key."""
    if call.sealer is None:
        raise fault("KMSInternalException", message="The installation has no sealing key.")
    made = new_material()
    hidden = call.sealer.seal(made.secret, purpose(key, made.id)).hex()
    account, region = key.split(":")[4], key.split(":")[3]
    return KmsMaterial(
        id=f"{key}/{made.id}", owner_id=account, region=region, key=key, material=made.id, sealed=hidden,
        since=call.now.timestamp(), how=how,
    )  # fmt: skip


# ---------------------------------------------------------------------- new keys
def new_key(
    call: Call, policy: str, *, description: str = "", tags: Tags = (), managed: str | None = None
) -> tuple[KmsKey, Change]:  # fmt: skip
    """A key with its material."""
    uuid = call.ids.uuid()
    arn = key_arn(call.region, call.account_id, uuid)
    material = sealed(call, arn)
    now = call.now.timestamp()
    key = KmsKey(
        id=arn, **call.owned(), tags=tags, uuid=uuid, policy=policy, created=now, current=material.material,
        description=description, managed=managed, rotation=YEAR if managed else None,
        rotates=now + YEAR * DAY if managed else None,
    )  # fmt: skip
    return key, put(KMS_MATERIAL, material) + put(KMS_KEY, key)


def managed_key(call: Call, service: str) -> Change:
    """The account's AWS managed key of a service and its alias. AWS rotates such keys every year."""
    policy = key_policies.managed_policy(call.account_id, call.region, service)
    text = f"Default key that protects my {service.upper()} data when no other key is defined"
    key, change = new_key(call, policy, description=text, managed=service)
    name, now = f"{ALIAS}aws/{service}", call.now.timestamp()
    arn = start_of(call.region, call.account_id) + name
    return change + put(KMS_ALIAS, KmsAlias(id=arn, **call.owned(), name=name, key=key.id, created=now, updated=now))


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
