"""Encryption at rest (Amazon S3 User Guide, "Protecting data with encryption"; API Reference: PutBucketEncryption …; DATA-05).

Amazon S3 seals every object since 2023; here an object is a plain file unless its request, its bucket or the installation asks for
encryption (docs/adr/0014), and replies and GetBucketEncryption say which it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ringfence.api import bucket_sealing, data_keys
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.api.ops.s3.common import bucket_of, files_of, only
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.trail import Bucket, BucketEncryption
from ringfence.model.world import World, put
from ringfence.store.buckets import Object
from ringfence.store.containers import AES256, KMS, Encryption, Sealing, SecretOf
from ringfence.store.sealed import Damaged

log = logging.getLogger("ringfence.s3")
#: members of a request that say how the object is to be sealed
ASKED = ("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled")


# ---------------------------------------------------------------------- a bucket's own
@operation("s3:PutBucketEncryption")
def put_bucket_encryption(call: Call, world: World, params: Params) -> Outcome:
    """For objects written from now on. ApiError MalformedXML, InvalidArgument, NotImplemented."""
    only(params, "ServerSideEncryptionConfiguration")
    bucket = bucket_of(call, world, params)
    rules = (params.get("ServerSideEncryptionConfiguration") or {}).get("Rules") or []
    if len(rules) != 1 or not rules[0].get("ApplyServerSideEncryptionByDefault"):
        raise fault("MalformedXML")
    only(rules[0], "ApplyServerSideEncryptionByDefault", "BucketKeyEnabled")
    wanted = rules[0]["ApplyServerSideEncryptionByDefault"]
    algorithm, key = _served(wanted["SSEAlgorithm"]), wanted.get("KMSMasterKeyID")
    if key and algorithm != KMS:
        text = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        raise fault("InvalidArgument", message=text)
    made = BucketEncryption(algorithm=algorithm, key=key or None, bucket_key=bool(rules[0].get("BucketKeyEnabled")))
    return Outcome({}, put(BUCKET, replace(bucket, encryption=made)))


@operation("s3:GetBucketEncryption")
def get_bucket_encryption(call: Call, world: World, params: Params) -> Outcome:
    """ApiError ServerSideEncryptionConfigurationNotFoundError: objects are plain unless their request asks otherwise."""
    held = bucket_of(call, world, params).encryption or files_of(call).default
    if held is None:
        raise fault("ServerSideEncryptionConfigurationNotFoundError")
    default = {"SSEAlgorithm": held.algorithm, "KMSMasterKeyID": held.key}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": held.bucket_key}
    return Outcome({"ServerSideEncryptionConfiguration": {"Rules": [rule]}})


@operation("s3:DeleteBucketEncryption")
def delete_bucket_encryption(call: Call, world: World, params: Params) -> Outcome:
    """What is sealed stays so."""
    return Outcome({}, put(BUCKET, replace(bucket_of(call, world, params), encryption=None)))


def _served(algorithm: str) -> str:
    if algorithm in (AES256, KMS):
        return algorithm
    text = f"{algorithm} implies functionality that is not implemented by this installation"
    raise fault("NotImplemented", message=text)


# ---------------------------------------------------------------------- an object's
def sealing(call: Call, world: World, bucket: Bucket, key: str, params: Params) -> Sealing | None:
    """How an object about to be written is sealed: as its request says, else as its bucket does; None = not at all.

    ApiError InvalidArgument, NotImplemented; AccessDenied and `KMS.…` when the caller may not use the key, or it cannot be used.
    """
    default = bucket.encryption or files_of(call).default
    asked = _asked(params, default) or default
    if asked is None:
        return None
    if not files_of(call).seals:
        raise fault("NotImplemented", message="This installation has no key to seal objects with")
    given = _context(params)
    if asked.algorithm != KMS:
        return Sealing(Encryption(asked.algorithm))
    named = bucket_sealing.Wanted(asked, bucket, key, given)
    return bucket_sealing.by_key(_asker(call, world, bucket, asked.key is None), named)


def _asker(call: Call, world: World, bucket: Bucket, managed: bool) -> data_keys.Asker:
    """The caller, by way of S3, in the Region of the bucket. `managed`: the account's own key for S3 must be there."""
    here = replace(call, region=bucket.region)
    if managed and data_keys.first_use(here, world, "s3"):
        world = call.commit(lambda held: data_keys.first_use(here, held, "s3"))
    return data_keys.for_caller(here, world, "s3")


def _asked(params: Params, default: BucketEncryption | None) -> BucketEncryption | None:
    """What the request's headers say; about bucket keys the bucket's word holds where they say nothing. ApiError."""
    algorithm = params.get("ServerSideEncryption")
    if algorithm != KMS and (params.get("SSEKMSKeyId") or params.get("SSEKMSEncryptionContext")):
        text = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
        raise fault("InvalidArgument", message=text)
    if algorithm is None:
        return None
    bucket_key = params.get("BucketKeyEnabled")
    if bucket_key is None:
        bucket_key = default is not None and default.bucket_key
    return BucketEncryption(algorithm=_served(algorithm), key=params.get("SSEKMSKeyId"), bucket_key=bool(bucket_key))


def _context(params: Params) -> dict[str, str]:
    """The encryption context of the request. ApiError InvalidArgument."""
    text = params.get("SSEKMSEncryptionContext")
    if not text:
        return {}
    try:
        read = json.loads(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error, RecursionError):
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise fault("InvalidArgument", message="The encryption context must be a JSON object of texts, in base64")
    return read


def told(encryption: Encryption | None, *, context: bool = False) -> dict[str, Any]:
    """How something is sealed, as replies say it. `context`: those of writes tell the encryption context too."""
    if encryption is None:
        return {}
    if encryption.algorithm != KMS:
        return {"ServerSideEncryption": encryption.algorithm}
    return {
        "ServerSideEncryption": KMS, "SSEKMSKeyId": encryption.key, "BucketKeyEnabled": encryption.bucket_key or None,
        **({"SSEKMSEncryptionContext": _text(encryption.context)} if context else {}),
    }  # fmt: skip


def _text(context: Mapping[str, str]) -> str:
    return base64.b64encode(json.dumps(dict(context), separators=(",", ":")).encode()).decode()


# ---------------------------------------------------------------------- reading
def body_of(call: Call, world: World, bucket: Bucket, found: Object, start: int, end: int) -> bytes:
    """Bytes of an object. ApiError NoSuchKey when it went meanwhile; InternalError when what lies there is damaged; AccessDenied
    and `KMS.…` for who may not use its key."""
    try:
        return files_of(call).read(bucket.id, found.key, start, end - start, secret_of=secret_of(call, world, bucket))
    except FileNotFoundError:
        raise fault("NoSuchKey") from None
    except Damaged as problem:
        raise damaged(bucket.id, found.key, problem) from None


def secret_of(call: Call, world: World, bucket: Bucket) -> SecretOf:
    """AWS: who reads must be allowed kms:Decrypt, by way of S3."""
    return bucket_sealing.opener(_asker(call, world, bucket, managed=False))


def damaged(bucket: str, key: str, why: object) -> ApiError:
    """What lies on the disk is not what was written: never shown, never a guess."""
    log.critical("object %s of bucket %s cannot be read: %s", key, bucket, why)
    return fault(
        "InternalError", message="The object's stored bytes are not what was written: restore it or delete it."
    )
