"""Buckets sealed with keys of KMS (DATA-05, docs/adr/0014): the key's policy decides who reads and who delivers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa

from ringfence import deliveries
from ringfence.identity.sealing import Sealer, new_key
from ringfence.keyfile import public_part
from ringfence.store.buckets import BucketFiles
from tests.api.front import ACCOUNT, OTHER_KEY, SECRET, USER_KEY, USER_SECRET, Front

TEXT = b"what must not lie anywhere in plain " * 5
SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
REGION = "us-east-1"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"


def policy(*more: dict[str, Any]) -> str:
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [own, *more]})


def grant(principal: dict[str, str], action: Any = "kms:*", **tests: Any) -> dict[str, Any]:
    condition = {"Condition": tests} if tests else {}
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*", **condition}


def to_ann(action: Any, **tests: str) -> dict[str, Any]:
    """Ann is no row of the World, so that a key policy cannot name her."""
    return grant({"AWS": "*"}, action, StringEquals={"aws:PrincipalArn": ANN, **tests})


class Lab:
    """A front with buckets and KMS; `logs` is there, and a trail is delivered when told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "buckets"
        self.files = BucketFiles(self.folder, Sealer([new_key()]))
        self.front = Front(objects=self.files)
        self.deliverer = deliveries.Deliverer(
            self.front.store, self.files, folder / "trails", self.front.clock, SIGNER, public_part(SIGNER)[1],
            self.front.service_keys(self.front.clock),
        )  # fmt: skip
        self.front.pipeline.outside = deliveries.FromHere(self.front.store, self.deliverer)
        self.s3, self.kms, self.trail = (self.front.client(name) for name in ("s3", "kms", "cloudtrail"))
        self.ann = self.front.client("s3", key=USER_KEY, secret=USER_SECRET)
        self.s3.create_bucket(Bucket="logs")
        everybody = {"Effect": "Allow", "Principal": {"AWS": ANN}, "Action": "s3:*"}
        statement = {**everybody, "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]}
        self.s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def key(self, *statements: dict[str, Any], region: str = REGION) -> str:
        made = self.front.client("kms", region=region).create_key(Policy=policy(*statements))
        return str(made["KeyMetadata"]["Arn"])

    def default(self, key: str | None, bucket_key: bool = False) -> None:
        how = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
        rule = {"ApplyServerSideEncryptionByDefault": how, "BucketKeyEnabled": bucket_key}
        self.s3.put_bucket_encryption(Bucket="logs", ServerSideEncryptionConfiguration={"Rules": [rule]})

    def asked(self) -> list[tuple[str, str, dict[str, str]]]:
        """What KMS was asked by services: call, by whom, context."""
        records = [record for record in self.front.audit() if record["eventSource"] == "kms.amazonaws.com"]
        return [
            (r["eventName"], r["userIdentity"]["invokedBy"], r["requestParameters"]["EncryptionContext"])
            for r in records if r["eventName"] in ("GenerateDataKey", "Decrypt") and "errorCode" not in r
        ]  # fmt: skip

    def raw(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


# ---------------------------------------------------------------------- objects
@pytest.mark.parametrize("bucket_key", [False, True])
def test_an_object_of_a_key_is_told_and_asked_for(lab: Lab, bucket_key: bool) -> None:
    arn = lab.key()
    more = base64.b64encode(b'{"dept": "x"}').decode()
    made = lab.s3.put_object(
        Bucket="logs", Key="k", Body=TEXT, ServerSideEncryption="aws:kms", SSEKMSKeyId=arn.rpartition("/")[2],
        SSEKMSEncryptionContext=more, BucketKeyEnabled=bucket_key,
    )  # fmt: skip
    whole = {"dept": "x", "aws:s3:arn": "arn:aws:s3:::logs" if bucket_key else "arn:aws:s3:::logs/k"}
    assert (made["ServerSideEncryption"], made["SSEKMSKeyId"], made.get("BucketKeyEnabled", False)) == (
        "aws:kms",
        arn,
        bucket_key,
    )
    assert json.loads(base64.b64decode(made["SSEKMSEncryptionContext"])) == whole
    assert made["ETag"].strip('"') != hashlib.md5(TEXT).hexdigest()  # AWS: it tells nothing of what is inside
    assert TEXT not in lab.raw()
    got = lab.s3.get_object(Bucket="logs", Key="k", Range="bytes=3-5")
    assert (got["Body"].read(), got["ETag"], got["SSEKMSKeyId"]) == (TEXT[3:6], made["ETag"], arn)
    head = lab.s3.head_object(Bucket="logs", Key="k")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"], head.get("BucketKeyEnabled", False)) == (
        "aws:kms",
        arn,
        bucket_key,
    )
    assert lab.asked() == [("GenerateDataKey", "s3.amazonaws.com", whole), ("Decrypt", "s3.amazonaws.com", whole)]


def test_without_a_key_named_it_is_the_accounts_own_for_s3(lab: Lab) -> None:
    made = lab.s3.put_object(Bucket="logs", Key="k", Body=TEXT, ServerSideEncryption="aws:kms")
    again = lab.s3.put_object(Bucket="logs", Key="j", Body=TEXT, ServerSideEncryption="aws:kms")
    about = lab.kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (about["KeyManager"], about["Arn"]) == ("AWS", made["SSEKMSKeyId"])
    assert again["SSEKMSKeyId"] == about["Arn"]
    assert lab.s3.get_object(Bucket="logs", Key="k")["Body"].read() == TEXT


def test_who_may_not_use_the_key_reads_and_writes_nothing_but_lists(lab: Lab) -> None:
    """AWS: s3:GetObject alone does not open what a key sealed; HEAD and listings need no key, checksums do."""
    arn = lab.key()
    lab.default(arn)
    lab.s3.put_object(Bucket="logs", Key="k", Body=TEXT)
    assert refused(lab.ann.get_object, Bucket="logs", Key="k") == "AccessDenied"
    assert refused(lab.ann.put_object, Bucket="logs", Key="mine", Body=b"x") == "AccessDenied"
    assert refused(lab.ann.create_multipart_upload, Bucket="logs", Key="mine") == "AccessDenied"
    assert (
        refused(lab.ann.copy_object, Bucket="logs", Key="mine", CopySource="logs/k", ServerSideEncryption="AES256")
        == "AccessDenied"
    )
    assert lab.ann.head_object(Bucket="logs", Key="k")["ContentLength"] == len(TEXT)
    assert refused(lab.ann.head_object, Bucket="logs", Key="k", ChecksumMode="ENABLED") == "403"
    assert [one["Key"] for one in lab.ann.list_objects_v2(Bucket="logs")["Contents"]] == ["k"]
    lab.kms.put_key_policy(
        KeyId=arn,
        Policy=policy(to_ann("kms:Decrypt", **{"kms:ViaService": "s3.us-east-1.amazonaws.com"})),
    )
    assert lab.ann.get_object(Bucket="logs", Key="k")["Body"].read() == TEXT
    assert refused(lab.ann.put_object, Bucket="logs", Key="mine", Body=b"x") == "AccessDenied"


def test_parts_are_asked_for_one_by_one(lab: Lab) -> None:
    arn = lab.key(to_ann(["kms:GenerateDataKey", "kms:Decrypt"]))
    lab.default(arn, bucket_key=True)
    place = {"Bucket": "logs", "Key": "k"}
    place["UploadId"] = lab.ann.create_multipart_upload(**place)["UploadId"]
    etag = lab.ann.upload_part(**place, PartNumber=1, Body=TEXT)["ETag"]
    lab.kms.put_key_policy(KeyId=arn, Policy=policy(to_ann("kms:GenerateDataKey")))
    assert refused(lab.ann.upload_part, **place, PartNumber=2, Body=TEXT) == "AccessDenied"
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert refused(lab.ann.complete_multipart_upload, **place, MultipartUpload=parts) == "AccessDenied"
    assert TEXT not in lab.raw()
    done = lab.s3.complete_multipart_upload(**place, MultipartUpload=parts)
    assert (done["ServerSideEncryption"], done["SSEKMSKeyId"], done["BucketKeyEnabled"]) == ("aws:kms", arn, True)
    assert lab.s3.get_object(Bucket="logs", Key="k")["Body"].read() == TEXT


@pytest.mark.parametrize(
    ("spoil", "code"),
    [("disable_key", "KMS.DisabledException"), ("schedule_key_deletion", "KMS.KMSInvalidStateException")],
)  # fmt: skip
def test_a_key_that_cannot_be_used(lab: Lab, spoil: str, code: str) -> None:
    arn = lab.key()
    lab.default(arn)
    lab.s3.put_object(Bucket="logs", Key="k", Body=TEXT)
    getattr(lab.kms, spoil)(KeyId=arn)
    assert refused(lab.s3.get_object, Bucket="logs", Key="k") == code
    assert refused(lab.s3.put_object, Bucket="logs", Key="j", Body=TEXT) == code
    assert list(lab.files.keys("logs")) == ["k"]
    if spoil == "disable_key":
        lab.kms.enable_key(KeyId=arn)
        lab.kms.rotate_key_on_demand(KeyId=arn)
        assert lab.s3.get_object(Bucket="logs", Key="k")["Body"].read() == TEXT


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"SSEKMSKeyId": "alias/nobodys"}, "KMS.NotFoundException"),
     ({"SSEKMSKeyId": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"}, "KMS.NotFoundException"),
     ({"SSEKMSEncryptionContext": "e3"}, "InvalidArgument"), ({"SSEKMSEncryptionContext": "W10="}, "InvalidArgument"),
     ({"SSEKMSEncryptionContext": base64.b64encode(b'{"a": 1}').decode()}, "InvalidArgument"),
     ({"SSEKMSEncryptionContext": base64.b64encode(b'{"aws:s3:arn": "arn:aws:s3:::other/k"}').decode()}, "InvalidArgument")],
)  # fmt: skip
def test_requests_with_keys_that_are_none(lab: Lab, asked: dict[str, str], code: str) -> None:
    assert (
        refused(lab.s3.put_object, Bucket="logs", Key="k", Body=TEXT, ServerSideEncryption="aws:kms", **asked) == code
    )
    assert list(lab.files.keys("logs")) == []


def test_the_key_may_be_another_accounts(lab: Lab) -> None:
    theirs = lab.front.client("kms", key=OTHER_KEY, secret=SECRET)
    own = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    arn = theirs.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [own]}))["KeyMetadata"]["Arn"]
    lab.default(arn)
    lab.s3.put_object(Bucket="logs", Key="k", Body=TEXT)
    assert lab.s3.get_object(Bucket="logs", Key="k")["Body"].read() == TEXT
    theirs.disable_key(KeyId=arn)
    assert refused(lab.s3.get_object, Bucket="logs", Key="k") == "KMS.DisabledException"


# ---------------------------------------------------------------------- trails
CLOUDTRAIL = grant({"Service": "cloudtrail.amazonaws.com"}, "kms:GenerateDataKey*")


def test_a_trail_with_a_key_is_delivered_sealed_and_its_context_says_which(lab: Lab) -> None:
    bound = {"StringEquals": {"aws:SourceArn": f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/all"}, "StringLike": {
        "kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"}}  # fmt: skip
    arn = lab.key({**CLOUDTRAIL, "Condition": bound})
    lab.kms.create_alias(AliasName="alias/trails", TargetKeyId=arn)
    made = lab.trail.create_trail(Name="all", S3BucketName="logs", KmsKeyId="alias/trails")
    assert (made["KmsKeyId"], lab.trail.get_trail(Name="all")["Trail"]["KmsKeyId"]) == (arn, arn)
    lab.trail.start_logging(Name="all")
    lab.kms.list_keys()
    lab.deliverer.deliver()
    (key,) = lab.files.keys("logs")
    got = lab.s3.get_object(Bucket="logs", Key=key)
    assert (got["ServerSideEncryption"], got["SSEKMSKeyId"]) == ("aws:kms", arn)
    names = [record["eventName"] for record in json.loads(gzip.decompress(got["Body"].read()))["Records"]]
    assert names == ["StartLogging", "ListKeys"]
    context = {"aws:cloudtrail:arn": made["TrailARN"], "aws:s3:arn": f"arn:aws:s3:::logs/{key}"}
    assert lab.asked()[0] == ("GenerateDataKey", "cloudtrail.amazonaws.com", context)
    for _ in range(2):  # what a delivery leaves in the trail is one file of the next, and no more
        lab.deliverer.deliver()
    assert len(list(lab.files.keys("logs"))) == 3
    lab.trail.update_trail(Name="all", KmsKeyId="")
    assert "KmsKeyId" not in lab.trail.get_trail(Name="all")["Trail"]
    before = set(lab.files.keys("logs"))
    lab.deliverer.deliver()
    (plain,) = set(lab.files.keys("logs")) - before
    assert "ServerSideEncryption" not in lab.s3.head_object(Bucket="logs", Key=plain)


@pytest.mark.parametrize(
    ("statements", "disabled", "code"),
    [([], False, "InsufficientEncryptionPolicyException"),
     ([grant({"Service": "delivery.logs.amazonaws.com"})], False, "InsufficientEncryptionPolicyException"),
     ([{**CLOUDTRAIL, "Condition": {"StringEquals": {"aws:SourceArn": "arn:aws:cloudtrail:us-east-1:1:trail/x"}}}], False,
      "InsufficientEncryptionPolicyException"),
     ([CLOUDTRAIL], True, "KmsException")],
)  # fmt: skip
def test_a_trail_whose_key_does_not_let_cloudtrail_in(
    lab: Lab, statements: list[Any], disabled: bool, code: str
) -> None:
    arn = lab.key(*statements)
    if disabled:
        lab.kms.disable_key(KeyId=arn)
    assert refused(lab.trail.create_trail, Name="all", S3BucketName="logs", KmsKeyId=arn) == code
    lab.trail.create_trail(Name="all", S3BucketName="logs")
    assert refused(lab.trail.update_trail, Name="all", KmsKeyId=arn) == code
    elsewhere = lab.key(CLOUDTRAIL, region="eu-west-1")
    assert refused(lab.trail.update_trail, Name="all", KmsKeyId=elsewhere) == "KmsKeyNotFoundException"
    assert "KmsKeyId" not in lab.trail.get_trail(Name="all")["Trail"]


def test_a_delivery_stops_with_the_key_and_goes_on_where_it_stopped(lab: Lab) -> None:
    arn = lab.key(CLOUDTRAIL)
    lab.trail.create_trail(Name="all", S3BucketName="logs", KmsKeyId=arn)
    lab.trail.start_logging(Name="all")
    for spoil, mend, word in (
        (lambda: lab.kms.disable_key(KeyId=arn), lambda: lab.kms.enable_key(KeyId=arn), "KMS.DisabledException"),
        (lambda: lab.kms.put_key_policy(KeyId=arn, Policy=policy()),
         lambda: lab.kms.put_key_policy(KeyId=arn, Policy=policy(CLOUDTRAIL)), "AccessDenied"),
    ):  # fmt: skip
        spoil()
        before = list(lab.files.keys("logs"))
        lab.deliverer.deliver()
        assert lab.trail.get_trail_status(Name="all")["LatestDeliveryError"] == word
        assert list(lab.files.keys("logs")) == before
        mend()
        lab.deliverer.deliver()
        assert "LatestDeliveryError" not in lab.trail.get_trail_status(Name="all")
    bodies = [lab.s3.get_object(Bucket="logs", Key=key)["Body"].read() for key in lab.files.keys("logs")]
    names = {record["eventName"] for body in bodies for record in json.loads(gzip.decompress(body))["Records"]}
    assert names >= {"StartLogging", "DisableKey", "EnableKey", "PutKeyPolicy"}
