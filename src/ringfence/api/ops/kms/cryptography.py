"""What keys are for (AWS KMS API Reference: Encrypt, Decrypt, ReEncrypt, GenerateDataKey, GenerateRandom …).

Nothing here changes the World. Plaintexts are in replies alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from ringfence.api import data_keys, keys
from ringfence.api.authorise import kms as authorise
from ringfence.api.authorise.kms import ALGORITHM
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.kms.serve import any_key, invalid, kms, unsupported
from ringfence.identity import ciphertext
from ringfence.model.errors import fault
from ringfence.model.nouns.kms import KmsKey
from ringfence.model.world import World

MAX_CONTEXT = 8192  # characters, as JSON
_SPECS = {"AES_128": 16, "AES_256": 32}


@kms("Encrypt", changes_world=False)
def encrypt(call: Call, world: World, params: Params) -> Outcome:
    """DisabledException, KMSInvalidStateException, InvalidKeyUsageException."""
    key = _key(call, world, params["KeyId"], params.get("EncryptionAlgorithm"))
    blob = _sealed(call, world, key, params["Plaintext"], _context(params))
    reply = {"CiphertextBlob": blob, "KeyId": key.id, "EncryptionAlgorithm": ALGORITHM}
    return Outcome(reply, touched=(key.id,), additional={"keyMaterialId": key.current})


@kms("Decrypt", changes_world=False)
def decrypt(call: Call, world: World, params: Params) -> Outcome:
    """InvalidCiphertextException also for another encryption context; IncorrectKeyException."""
    _no_recipient(params)
    key = _key_of(call, world, params, params.get("KeyId"), params.get("EncryptionAlgorithm"))
    plain = data_keys.opened(world, key, call.sealer, params["CiphertextBlob"], _context(params))
    material = _material(world, key, params["CiphertextBlob"])
    reply = {"KeyId": key.id, "Plaintext": plain, "EncryptionAlgorithm": ALGORITHM, "KeyMaterialId": material}
    return Outcome(reply, touched=(key.id,), additional={"keyMaterialId": material})


@kms("ReEncrypt", changes_world=False)
def re_encrypt(call: Call, world: World, params: Params) -> Outcome:
    """The plaintext never leaves."""
    source = _key_of(call, world, params, params.get("SourceKeyId"), params.get("SourceEncryptionAlgorithm"))
    target = _key(call, world, params["DestinationKeyId"], params.get("DestinationEncryptionAlgorithm"))
    before = _context(params, "SourceEncryptionContext")
    plain = data_keys.opened(world, source, call.sealer, params["CiphertextBlob"], before)
    blob = _sealed(call, world, target, plain, _context(params, "DestinationEncryptionContext"))
    material = _material(world, source, params["CiphertextBlob"])
    reply = {
        "CiphertextBlob": blob, "SourceKeyId": source.id, "KeyId": target.id, "SourceEncryptionAlgorithm": ALGORITHM,
        "DestinationEncryptionAlgorithm": ALGORITHM, "SourceKeyMaterialId": material,
        "DestinationKeyMaterialId": target.current,
    }  # fmt: skip
    shown = {"sourceKeyMaterialId": material, "destinationKeyMaterialId": target.current}
    return Outcome(reply, touched=(source.id, target.id), additional=shown)


@kms("GenerateDataKey", changes_world=False)
def generate_data_key(call: Call, world: World, params: Params) -> Outcome:
    _no_recipient(params)
    return _generated(call, world, params, shown=True)


@kms("GenerateDataKeyWithoutPlaintext", changes_world=False)
def generate_data_key_without_plaintext(call: Call, world: World, params: Params) -> Outcome:
    return _generated(call, world, params, shown=False)


def _generated(call: Call, world: World, params: Params, *, shown: bool) -> Outcome:
    spec, size = params.get("KeySpec"), params.get("NumberOfBytes")
    if (spec is None) == (size is None):
        raise invalid("Please specify either number of bytes or key spec.")
    key = _key(call, world, params["KeyId"], None)
    plain = secrets.token_bytes(size or _SPECS[str(spec)])
    blob = _sealed(call, world, key, plain, _context(params))
    reply: dict[str, Any] = {"CiphertextBlob": blob, "KeyId": key.id, "KeyMaterialId": key.current}
    if shown:
        reply["Plaintext"] = plain
    return Outcome(reply, touched=(key.id,), additional={"keyMaterialId": key.current})


@kms("GenerateRandom", changes_world=False)
def generate_random(call: Call, world: World, params: Params) -> Outcome:
    del world, call
    _no_recipient(params)
    if params.get("CustomKeyStoreId"):
        raise unsupported("Custom key stores are not supported by this installation.")
    if params.get("NumberOfBytes") is None:
        raise invalid("NumberOfBytes is required.")
    return Outcome({"Plaintext": secrets.token_bytes(params["NumberOfBytes"])})


# ---------------------------------------------------------------------- parts
def _key(call: Call, world: World, ref: str, algorithm: str | None) -> KmsKey:
    key = keys.must_be_enabled(any_key(call, world, ref))
    if (algorithm or ALGORITHM) != ALGORITHM:
        text = f"{key.id} key usage is ENCRYPT_DECRYPT which is not valid for algorithm {algorithm}."
        raise fault("InvalidKeyUsageException", message=text)
    return key


def _key_of(call: Call, world: World, params: Params, ref: str | None, algorithm: str | None) -> KmsKey:
    """The key that a ciphertext was encrypted with. IncorrectKeyException when the request names another."""
    if params.get("DryRunModifiers"):
        raise unsupported("DryRunModifiers are not supported by this installation.")
    if params.get("CiphertextBlob") is None:
        raise invalid("CiphertextBlob is required.")
    arn = authorise.encrypted_with(call, world, params["CiphertextBlob"], ref)
    key = _key(call, world, arn, algorithm)
    if ciphertext.named_in(params["CiphertextBlob"]).key != key.uuid:
        raise fault("IncorrectKeyException")
    return key


def _sealed(call: Call, world: World, key: KmsKey, plain: bytes, context: Mapping[str, str]) -> bytes:
    material = keys.material_of(world, key, key.current, call.sealer)
    assert material is not None, "a key that is there has its material"
    return ciphertext.encrypt(material, key.uuid, plain, context)


def _material(world: World, key: KmsKey, blob: bytes) -> str:
    return keys.material_id(world, key, ciphertext.named_in(blob).material)


def _context(params: Params, name: str = "EncryptionContext") -> Mapping[str, str]:
    context: Mapping[str, str] = params.get(name) or {}
    if len(json.dumps(dict(context), ensure_ascii=False, separators=(",", ":"))) > MAX_CONTEXT:
        raise invalid(f"The encryption context can have at most {MAX_CONTEXT} characters.")
    return context


def _no_recipient(params: Params) -> None:
    if params.get("Recipient"):
        raise unsupported("Attested recipients are not supported by this installation.")
