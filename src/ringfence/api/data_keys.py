"""Data keys for what services encrypt at rest (DATA-05; AWS KMS Developer Guide: "Using AWS KMS encryption with AWS services",
"kms:ViaService"; IAM User Guide: "Forward access sessions").

A service asks KMS in the name of its caller (S3), or as itself, a service principal that the key policy lets in (CloudWatch Logs,
CloudTrail, log delivery). Either way the key policy decides, and KMS's event is in the trail, by the service's hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ringfence.api import audit, keys
from ringfence.api.authorise import kms
from ringfence.api.authorise.denial import refusal
from ringfence.api.authorise.request import request_context
from ringfence.api.ops.context import Call
from ringfence.identity import ciphertext
from ringfence.identity.organization import organization_levels
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Question
from ringfence.identity.sealing import Sealer
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource
from ringfence.model.kinds import KMS_ALIAS
from ringfence.model.nouns.kms import KmsKey
from ringfence.model.world import NOTHING, Change, World

DATA_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks KMS for a data key, and by way of which service. `audit` takes KMS's event.

    `source_arn`, `source_account`: of a service principal, for which resource of whose account it asks.
    """

    world: World
    sealer: Sealer | None
    ids: IdSource
    now: datetime
    region: str
    principal: Principal
    service: str
    audit: Callable[[bytes], None]
    source_arn: str | None = None
    source_account: str | None = None
    secure: bool = True

    @property
    def forwards(self) -> bool:
        """Does the service ask in the name of a caller?"""
        return self.principal.kind is not PrincipalKind.SERVICE

    @property
    def host(self) -> str:
        """The name of the service in events: `s3.amazonaws.com`."""
        return f"{self.service}.amazonaws.com"

    @property
    def account_id(self) -> str:
        """Whose keys short names are of."""
        return self.principal.account_id if self.forwards else self.source_account or ""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A fresh data key: `plain` to encrypt with, `sealed` to keep."""

    key_arn: str
    plain: bytes = field(repr=False)
    sealed: bytes


def for_caller(call: Call, world: World, service: str) -> Asker:
    """The service uses the key with the permissions of its caller."""
    return Asker(
        world=world, sealer=call.sealer, ids=call.ids, now=call.now, region=call.region, principal=call.principal,
        service=service, audit=call.witness, secure=call.secure,
    )  # fmt: skip


def for_service(
    *, world: World, sealer: Sealer | None, ids: IdSource, now: datetime, region: str, audit: Callable[[bytes], None], name: str,
    source_arn: str, source_account: str,
) -> Asker:  # fmt: skip
    """The service principal `name` (`logs.us-east-1.amazonaws.com`) asks for a resource of an account."""
    who = Principal(account_id="", arn=name, user_id=name, kind=PrincipalKind.SERVICE, name=name)
    return Asker(
        world=world, sealer=sealer, ids=ids, now=now, region=region, principal=who, service=name.removesuffix(".amazonaws.com"),
        audit=audit, source_arn=source_arn, source_account=source_account,
    )  # fmt: skip


# ---------------------------------------------------------------------- data keys
def generate(asker: Asker, key_ref: str, context: Mapping[str, str]) -> DataKey:
    """A new data key of 256 bits. ApiError: AccessDeniedException, and what `keys` raises for names and states."""
    request = {"keyId": key_ref, "encryptionContext": dict(context), "keySpec": "AES_256"}
    with _recorded(asker, "GenerateDataKey", request) as touched:
        key = _usable(asker, key_ref, "GenerateDataKey", context, touched)
        material = keys.material_of(asker.world, key, key.current, asker.sealer)
        assert material is not None, "a key that is there has its material"
        plain = ciphertext.new_material().secret
        return DataKey(key.id, plain, ciphertext.encrypt(material, key.uuid, plain, context))


def open(asker: Asker, sealed: bytes, context: Mapping[str, str]) -> bytes:
    """The data key that was sealed. ApiError: AccessDeniedException, InvalidCiphertextException when it or the context is another,
    and what `keys` raises for states."""
    with _recorded(
        asker, "Decrypt", {"encryptionContext": dict(context), "encryptionAlgorithm": kms.ALGORITHM}
    ) as touched:
        try:
            inside = ciphertext.named_in(sealed)
        except ciphertext.CiphertextError:
            raise fault("InvalidCiphertextException") from None
        held = kms.of_ciphertext(asker.world, inside.key, asker.region)
        if held is None or keys.found(asker.world, held.id, asker.now) is None:
            raise kms.not_reachable()
        key = _usable(asker, held.id, "Decrypt", context, touched)
        return opened(asker.world, key, asker.sealer, sealed, context)


def opened(
    world: World, key: KmsKey, sealer: Sealer | None, sealed: bytes, context: Mapping[str, str]
) -> bytes:  # fmt: skip
    """What a key encrypted, whoever asks. ApiError InvalidCiphertextException."""
    try:
        material = keys.material_of(world, key, ciphertext.named_in(sealed).material, sealer)
        if material is None:
            raise ciphertext.CiphertextError("the material is gone")
        return ciphertext.decrypt(material, sealed, context)
    except ciphertext.CiphertextError:
        raise fault("InvalidCiphertextException") from None


def check(asker: Asker, key_ref: str, context: Mapping[str, str], actions: Iterable[str] = ("GenerateDataKey",)) -> str:
    """The ARN of a key that the asker may use so. ApiError as `generate`; nothing is recorded."""
    key = None
    for action in actions:
        key = _usable(asker, key_ref, action, context, [])
    assert key is not None
    return key.id


def arn_of(world: World, key_ref: str, *, region: str, account_id: str, now: datetime) -> str:
    """The ARN of the key that is named so. ApiError NotFoundException, InvalidArnException."""
    return keys.named(world, key_ref, region=region, account_id=account_id, now=now).id


def first_use(call: Call, world: World, service: str) -> Change:
    """What makes the account's AWS managed key for a service, with its alias; nothing when it is there."""
    alias = f"{keys.start_of(call.region, call.account_id)}{keys.ALIAS}aws/{service}"
    return NOTHING if world.find(KMS_ALIAS, alias) is not None else keys.managed_key(call, service)


# ---------------------------------------------------------------------- may it?
def _usable(
    asker: Asker, key_ref: str, action: str, context: Mapping[str, str], touched: list[str]
) -> KmsKey:  # fmt: skip
    """The key, allowed and enabled. AWS asks the policies before it looks at the state."""
    arn = keys.whole(key_ref, asker.region, asker.account_id)
    key = keys.found(asker.world, arn, asker.now)
    if key is not None:
        touched.append(key.id)
    via = f"{asker.service}.{asker.region}.amazonaws.com" if asker.forwards else None
    asked = kms.ask(
        asker.world,
        kms.Use(principal=asker.principal, now=asker.now, action=action, arn=arn, context=context, via=via,
                source_arn=asker.source_arn),
    )  # fmt: skip
    owner = arn.split(":")[4]
    question = Question(
        principal=asker.principal,
        action=asked.action,
        targets=asked.targets,
        context={**_context(asker), **asked.context},
    )
    decision = kms.decided(asker.world, question, owner)
    if not decision.allowed:
        raise refusal(question, decision, asker.sealer, "kms")
    if key is None:
        raise keys.absent(arn)
    return keys.must_be_enabled(key)


def _context(asker: Asker) -> dict[str, str | tuple[str, ...]]:
    """The global keys of the service's request. The caller's address is not the request's, so that it has none."""
    held = request_context(_call(asker, ""), organization_levels(asker.world, asker.principal.account_id))
    held.pop("aws:sourceip")
    held.pop("aws:useragent", None)
    held["aws:viaawsservice"] = "true" if asker.forwards else "false"
    if asker.source_arn is not None:
        held["aws:sourcearn"] = asker.source_arn
    if asker.source_account is not None:
        held["aws:sourceaccount"] = asker.source_account
    return held


# ---------------------------------------------------------------------- the event
def _call(asker: Asker, action: str) -> Call:
    host = asker.host
    return Call(
        service="kms", action=action, region=asker.region, principal=asker.principal, request_id=asker.ids.uuid(),
        now=asker.now, ids=asker.ids, source_ip=host, user_agent=host, secure=asker.secure,
    )  # fmt: skip


@contextlib.contextmanager
def _recorded(asker: Asker, action: str, request: Mapping[str, object]) -> Iterator[list[str]]:
    """Whatever comes of it is recorded; `touched` gathers the ARNs of keys. AWS: a key of another account tells its owner too, unless
    the request was denied."""
    touched: list[str] = []
    try:
        yield touched
    except ApiError as error:
        _record(asker, action, request, touched, error)
        raise
    _record(asker, action, request, touched, None)


def _record(
    asker: Asker, action: str, request: Mapping[str, object], touched: list[str], refused: ApiError | None
) -> None:  # fmt: skip
    call = _call(asker, action)
    for way in _ways(asker, touched, refused):
        asker.audit(
            audit.record(call, _by_member(request), read_only=True, error=refused, touched=tuple(touched), way=way)
        )


def _by_member(request: Mapping[str, object]) -> dict[str, object]:
    """By the names of the service model, as records are kept."""
    return {name[:1].upper() + name[1:]: value for name, value in request.items()}


def _ways(asker: Asker, touched: list[str], refused: ApiError | None) -> Iterator[audit.Way]:
    identity = None if asker.forwards else {"type": "AWSService", "invokedBy": asker.principal.name}
    own = audit.Way(invoked_by=asker.host, identity=identity, recipient="" if asker.forwards else asker.account_id)
    owners = {arn.split(":")[4] for arn in touched} - {asker.account_id}
    if refused is not None or not owners:
        yield own
        return
    shared = asker.ids.uuid()
    yield replace(own, shared=shared)
    for owner in sorted(owners):
        yield replace(own, recipient=owner, shared=shared)


# ---------------------------------------------------------------------- words
#: service -> KMS's code -> the service's own. Amazon S3: "Error responses", KMS's codes with a prefix; CloudTrail API Reference,
#: CreateTrail; CloudWatch Logs API Reference, AssociateKmsKey
WORDS: Mapping[str, Mapping[str, str]] = {
    "s3": {
        "AccessDeniedException": "AccessDenied", "DisabledException": "KMS.DisabledException",
        "KMSInvalidStateException": "KMS.KMSInvalidStateException", "NotFoundException": "KMS.NotFoundException",
        "InvalidArnException": "KMS.NotFoundException", "InvalidCiphertextException": "AccessDenied",
    },
    "cloudtrail": {
        "AccessDeniedException": "InsufficientEncryptionPolicyException", "DisabledException": "KmsException",
        "KMSInvalidStateException": "KmsException", "NotFoundException": "KmsKeyNotFoundException",
        "InvalidArnException": "KmsKeyNotFoundException", "InvalidCiphertextException": "KmsException",
    },
    "logs": {
        "AccessDeniedException": "AccessDeniedException", "DisabledException": "InvalidParameterException",
        "KMSInvalidStateException": "InvalidParameterException", "NotFoundException": "InvalidParameterException",
        "InvalidArnException": "InvalidParameterException", "InvalidCiphertextException": "AccessDeniedException",
    },
}  # fmt: skip


@contextlib.contextmanager
def told_by(service: str) -> Iterator[None]:
    """KMS's refusals in the words of the service that asked it."""
    try:
        yield
    except ApiError as error:
        code = WORDS[service].get(error.code)
        if code is None:
            raise
        raise fault(code, message=error.message, detail=error.detail) from None
