"""How objects get their keys from KMS, for callers of S3 and for services that deliver into buckets (Amazon S3 User Guide, "Using
server-side encryption with AWS KMS keys", "Amazon S3 Bucket Keys"; DATA-05, docs/adr/0014).

S3 asks in the name of its caller, a delivering service as itself. Either way the key's policy decides; the encryption context has the
object's ARN, or the bucket's with bucket keys. Here KMS is asked for each object, with bucket keys too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ringfence.api import data_keys
from ringfence.identity.sealing import Sealer
from ringfence.model.clock import Clock
from ringfence.model.errors import fault
from ringfence.model.ids import IdSource
from ringfence.model.kinds import BUCKET
from ringfence.model.nouns.trail import Bucket, BucketEncryption
from ringfence.model.world import World
from ringfence.store.containers import KMS, Encryption, Sealing, SecretOf

ARN = "aws:s3:arn"
MANAGED = "alias/aws/s3"  # the account's own key for S3, where no key is named


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be sealed with a key of KMS. `context`: what the request adds to the encryption context."""

    how: BucketEncryption
    bucket: Bucket
    key: str
    context: Mapping[str, str] = field(default_factory=dict)

    def whole_context(self) -> dict[str, str]:
        """ApiError InvalidArgument when the request claims to be about something else."""
        arn = BUCKET.arn(self.bucket) if self.how.bucket_key else f"{BUCKET.arn(self.bucket)}/{self.key}"
        if self.context.get(ARN, arn) != arn:
            raise fault("InvalidArgument", message=f"The encryption context's {ARN} is not that of the object")
        return {**self.context, ARN: arn}


def by_key(asker: data_keys.Asker, wanted: Wanted) -> Sealing:
    """With a new data key. ApiError in S3's words: AccessDenied, KMS.NotFoundException, KMS.DisabledException …"""
    context, named = wanted.whole_context(), wanted.how.key or MANAGED
    if named.startswith("arn:") and named.split(":")[3] != wanted.bucket.region:
        raise fault("KMS.NotFoundException", message=f"Invalid arn {named.split(':')[3]}")
    with data_keys.told_by("s3"):
        made = data_keys.generate(asker, named, context)
    return Sealing(Encryption(KMS, made.key_arn, context, wanted.how.bucket_key), made.plain, made.sealed)


def opener(asker: data_keys.Asker) -> SecretOf:
    """Opens data keys in the name of who asks. ApiError in S3's words."""

    def opened(encryption: Encryption, envelope: bytes) -> bytes:
        with data_keys.told_by("s3"):
            return data_keys.open(asker, envelope, encryption.context)

    return opened


# ---------------------------------------------------------------------- services
@dataclass(frozen=True, slots=True)
class Deliverer:
    """A service that delivers into buckets, for a resource of an account. `context`: what it adds to the encryption context."""

    service: str
    source_arn: str
    account_id: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """Asks KMS in the name of services. `audit` takes KMS's events. `default`: for buckets that say nothing."""

    sealer: Sealer
    ids: IdSource
    clock: Clock
    audit: Callable[[bytes], None]
    default: BucketEncryption | None = None

    def sealing(
        self, world: World, bucket_name: str, key: str, who: Deliverer, key_named: str | None = None
    ) -> Sealing | None:
        """As `key_named` says, else as the bucket does; None: plain. ApiError in S3's words."""
        bucket = world.find(BUCKET, bucket_name)
        if bucket is None:
            return None
        how = BucketEncryption(algorithm=KMS, key=key_named) if key_named else bucket.encryption or self.default
        if how is None or how.algorithm != KMS:
            return None if how is None else Sealing(Encryption(how.algorithm))
        asker = data_keys.for_service(
            world=world, sealer=self.sealer, ids=self.ids, now=self.clock.now(), region=bucket.region, audit=self.audit,
            name=who.service, source_arn=who.source_arn, source_account=who.account_id,
        )  # fmt: skip
        return by_key(asker, Wanted(how, bucket, key, who.context))
