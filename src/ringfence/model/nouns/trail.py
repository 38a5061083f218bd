"""CloudTrail's trails, and the buckets logs are delivered to (CloudTrail API Reference: `Trail`; Amazon S3 API Reference)."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketEncryption:
    """How objects are sealed whose requests say nothing of it. `key`: as it was given, None = the account's own for S3."""

    algorithm: str
    key: str | None = None
    bucket_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket(Row):
    """A bucket. `id` is its name, unique in the installation; its objects are files of a directory of that name."""

    created: float  # seconds since 1970, UTC
    policy: str | None = None  # JSON
    encryption: BucketEncryption | None = None  # None: plain files


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail(Row):
    """A trail. `id` is its ARN; `region` its home Region. `selectors`: event selectors as JSON, None = all management events.

    `validation_since`: when log file validation was switched on; the first digest begins there.
    """

    name: str
    bucket: str
    prefix: str = ""
    global_events: bool = True
    multi_region: bool = False
    validation_since: float | None = None
    logging: bool = False
    started: float | None = None
    stopped: float | None = None
    selectors: str | None = None
    kms_key: str | None = None  # the ARN of the key that files are sealed with


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestKey(Row):
    """The public half of a key that signs digest files. `id` is its fingerprint; `public`: DER, PKCS #1."""

    public: bytes
    valid_from: float
    valid_to: float
