"""Encryption of objects over boto3 (DATA-05, docs/adr/0014): what is asked is done, what is done is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.api.bucket_sealing import Deliverer
from ringfence.identity.sealing import Sealer, new_key
from ringfence.model.nouns.trail import BucketEncryption
from ringfence.store.buckets import BucketFiles
from tests.api.front import USER_KEY, USER_SECRET, Front

TEXT = b"what must not lie anywhere in plain " * 5


class Lab:
    """A front with buckets that can be sealed; `logs` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "buckets"
        self.files = BucketFiles(self.folder, Sealer([new_key()]))
        self.front = Front(objects=self.files)
        self.s3 = self.front.client("s3")
        self.s3.create_bucket(Bucket="logs")

    def default(self, **how: Any) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, **how}
        self.s3.put_bucket_encryption(Bucket="logs", ServerSideEncryptionConfiguration={"Rules": [rule]})

    def raw(self) -> bytes:
        """Everything that lies on the disk, names too."""
        paths = sorted(self.folder.rglob("*"))
        return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in paths)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_plain_unless_asked_and_the_replies_say_which(lab: Lab) -> None:
    made = lab.s3.put_object(Bucket="logs", Key="plain", Body=TEXT)
    assert "ServerSideEncryption" not in made
    assert TEXT in lab.raw()
    assert refused(lab.s3.get_bucket_encryption, Bucket="logs") == "ServerSideEncryptionConfigurationNotFoundError"
    lab.s3.delete_object(Bucket="logs", Key="plain")
    made = lab.s3.put_object(
        Bucket="logs", Key="k", Body=TEXT, ServerSideEncryption="AES256", Metadata={"a": "secret-metadata"}
    )
    assert made["ServerSideEncryption"] == "AES256"
    assert TEXT not in lab.raw()
    assert b"secret-metadata" not in lab.raw()
    got = lab.s3.get_object(Bucket="logs", Key="k", Range="bytes=5-9")
    assert (got["Body"].read(), got["ServerSideEncryption"], got["ETag"]) == (TEXT[5:10], "AES256", made["ETag"])
    head = lab.s3.head_object(Bucket="logs", Key="k")
    assert (head["ServerSideEncryption"], head["ContentLength"]) == ("AES256", len(TEXT))
    assert [(one["Key"], one["Size"]) for one in lab.s3.list_objects_v2(Bucket="logs")["Contents"]] == [
        ("k", len(TEXT))
    ]


def test_a_buckets_default_holds_for_what_is_written_from_then_on(lab: Lab) -> None:
    lab.s3.put_object(Bucket="logs", Key="before", Body=b"before")
    lab.default(BucketKeyEnabled=False)
    (rule,) = lab.s3.get_bucket_encryption(Bucket="logs")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule == {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    assert lab.s3.put_object(Bucket="logs", Key="after", Body=TEXT)["ServerSideEncryption"] == "AES256"
    assert "ServerSideEncryption" not in lab.s3.head_object(Bucket="logs", Key="before")
    copied = lab.s3.copy_object(Bucket="logs", Key="copy", CopySource="logs/before")
    assert copied["ServerSideEncryption"] == "AES256"
    lab.s3.delete_bucket_encryption(Bucket="logs")
    assert refused(lab.s3.get_bucket_encryption, Bucket="logs") == "ServerSideEncryptionConfigurationNotFoundError"
    assert "ServerSideEncryption" not in lab.s3.copy_object(Bucket="logs", Key="out", CopySource="logs/copy")
    for key, body in (("before", b"before"), ("after", TEXT), ("copy", b"before"), ("out", b"before")):
        assert lab.s3.get_object(Bucket="logs", Key=key)["Body"].read() == body
    same = {"Bucket": "logs", "Key": "before", "CopySource": "logs/before"}
    assert refused(lab.s3.copy_object, **same) == "InvalidRequest"
    assert lab.s3.copy_object(**same, ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"


def test_an_installation_may_seal_every_bucket(lab: Lab) -> None:
    """`up --encrypt-buckets`: as Amazon S3 does; GetBucketEncryption says so, and deliveries do so too."""
    lab.files.default = BucketEncryption(algorithm="AES256")
    assert lab.s3.put_object(Bucket="logs", Key="k", Body=TEXT)["ServerSideEncryption"] == "AES256"
    assert lab.s3.create_multipart_upload(Bucket="logs", Key="j")["ServerSideEncryption"] == "AES256"
    assert TEXT not in lab.raw()
    (rule,) = lab.s3.get_bucket_encryption(Bucket="logs")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    keys = replace(lab.front.service_keys(lab.front.clock), default=lab.files.default)
    made = keys.sealing(lab.front.store.world, "logs", "k", Deliverer("cloudtrail.amazonaws.com", "arn", "1"))
    assert made is not None
    assert made.encryption.algorithm == "AES256"


def test_uploads_in_parts_are_sealed_from_their_first_part_on(lab: Lab) -> None:
    lab.default()
    made = lab.s3.create_multipart_upload(Bucket="logs", Key="k", ContentType="text/secret")
    assert made["ServerSideEncryption"] == "AES256"
    place = {"Bucket": "logs", "Key": "k", "UploadId": made["UploadId"]}
    first = TEXT * (1 << 15)
    etag = lab.s3.upload_part(**place, PartNumber=1, Body=first)["ETag"]
    lab.s3.put_object(Bucket="logs", Key="source", Body=TEXT)
    copied = lab.s3.upload_part_copy(**place, PartNumber=2, CopySource="logs/source", CopySourceRange="bytes=0-3")
    parts = [{"PartNumber": 1, "ETag": etag}, {"PartNumber": 2, "ETag": copied["CopyPartResult"]["ETag"]}]
    assert TEXT[:30] not in lab.raw()
    assert b"text/secret" not in lab.raw()
    assert [part["Size"] for part in lab.s3.list_parts(**place)["Parts"]] == [len(first), 4]
    done = lab.s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    assert done["ServerSideEncryption"] == "AES256"
    assert done["ETag"].endswith('-2"')
    got = lab.s3.get_object(Bucket="logs", Key="k", Range=f"bytes={len(first) - 2}-")
    assert got["Body"].read() == first[-2:] + TEXT[:4]
    assert TEXT[:30] not in lab.raw()


_RULE = {"SSEAlgorithm": "AES256"}


@pytest.mark.parametrize(
    ("rules", "code"),
    [([], "MalformedXML"), ([{"ApplyServerSideEncryptionByDefault": _RULE}] * 2, "MalformedXML"),
     ([{"BucketKeyEnabled": True}], "MalformedXML"),
     ([{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES512"}}], "MalformedXML"),
     ([{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}], "NotImplemented"),
     ([{"ApplyServerSideEncryptionByDefault": _RULE, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}], "NotImplemented"),
     ([{"ApplyServerSideEncryptionByDefault": {**_RULE, "KMSMasterKeyID": "k"}}], "InvalidArgument")],
)  # fmt: skip
def test_configurations_that_are_none(lab: Lab, rules: list[Any], code: str) -> None:
    lab.front.strict_clients = False
    wanted = {"Rules": rules}
    assert refused(lab.s3.put_bucket_encryption, Bucket="logs", ServerSideEncryptionConfiguration=wanted) == code
    assert refused(lab.s3.get_bucket_encryption, Bucket="logs") == "ServerSideEncryptionConfigurationNotFoundError"


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"ServerSideEncryption": "AES512"}, "InvalidEncryptionAlgorithmError"), ({"ServerSideEncryption": "aws:kms:dsse"}, "NotImplemented"),
     ({"SSEKMSKeyId": "alias/k"}, "InvalidArgument"), ({"ServerSideEncryption": "AES256", "SSEKMSKeyId": "k"}, "InvalidArgument"),
     ({"ServerSideEncryption": "AES256", "SSEKMSEncryptionContext": "e30="}, "InvalidArgument"),
     ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}, "NotImplemented")],
)  # fmt: skip
def test_requests_that_cannot_be_done_are_refused(lab: Lab, asked: dict[str, str], code: str) -> None:
    lab.front.strict_clients = False
    for call, more in ((lab.s3.put_object, {"Body": TEXT}), (lab.s3.create_multipart_upload, {})):
        assert refused(call, Bucket="logs", Key="k", **more, **asked) == code
    assert list(lab.files.keys("logs")) == []
    assert lab.files.uploads.all("logs") == []


def test_what_is_damaged_is_an_error_and_can_be_deleted(lab: Lab) -> None:
    lab.default()
    lab.s3.put_object(Bucket="logs", Key="k", Body=TEXT)
    path = lab.folder / "logs/k"
    path.write_bytes(path.read_bytes()[:-1])
    for call in (lab.s3.get_object, lab.s3.head_object):
        assert refused(call, Bucket="logs", Key="k") in ("InternalError", "500")
    assert refused(lab.s3.copy_object, Bucket="logs", Key="j", CopySource="logs/k") == "InternalError"
    assert [one["Key"] for one in lab.s3.list_objects_v2(Bucket="logs")["Contents"]] == ["k"]
    assert lab.front.pipeline.internal_errors == 0
    lab.s3.delete_object(Bucket="logs", Key="k")
    assert "Contents" not in lab.s3.list_objects_v2(Bucket="logs")


# ---------------------------------------------------------------------- policies
def _statement(effect: str, action: str, **condition: Any) -> dict[str, Any]:
    more = {"Condition": condition} if condition else {}
    return {
        "Effect": effect,
        "Principal": "*",
        "Action": action,
        "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"],
        **more,
    }


@pytest.mark.parametrize(
    ("asked", "passes"),
    [({}, False), ({"ServerSideEncryption": "AES256"}, True)],
)  # fmt: skip
def test_a_policy_may_demand_encryption(lab: Lab, asked: dict[str, str], passes: bool) -> None:
    """POL: `s3:x-amz-server-side-encryption` is what the request says."""
    statements = [
        _statement("Allow", "s3:*"),
        _statement("Deny", "s3:PutObject", Null={"s3:x-amz-server-side-encryption": "true"}),
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    lab.s3.put_bucket_policy(Bucket="logs", Policy=policy)
    user = lab.front.client("s3", key=USER_KEY, secret=USER_SECRET)
    if passes:
        user.put_object(Bucket="logs", Key="k", Body=b"x", **asked)
    else:
        assert refused(user.put_object, Bucket="logs", Key="k", Body=b"x", **asked) == "AccessDenied"


def test_setting_a_buckets_encryption_is_a_permission_of_its_own(lab: Lab) -> None:
    statements = [_statement("Allow", "s3:*"), _statement("Deny", "s3:PutEncryptionConfiguration")]
    lab.s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    user = lab.front.client("s3", key=USER_KEY, secret=USER_SECRET)
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": _RULE}]}
    assert refused(user.put_bucket_encryption, Bucket="logs", ServerSideEncryptionConfiguration=rules) == "AccessDenied"
    assert refused(user.delete_bucket_encryption, Bucket="logs") == "AccessDenied"
    assert refused(user.get_bucket_encryption, Bucket="logs") == "ServerSideEncryptionConfigurationNotFoundError"
