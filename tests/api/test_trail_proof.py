"""An unmodified client proves the trail: bucket and trail over boto3, log files and digests read back and verified (DATA-12, POL-17)."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.keyfile import public_part
from ringfence.model.kinds import DIGEST_KEY
from ringfence.model.nouns.trail import DigestKey
from ringfence.model.world import put
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, OTHER_KEY
from tests.api.test_trails import KEY, Lab
from tests.api.trail_proof import Verdict, verify


class Proof(Lab):
    """A bucket and a trail made by a client, and three hours of calls."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        public, fingerprint = public_part(KEY)
        now = self.front.clock.now()
        row = DigestKey(
            id=fingerprint, owner_id="", region="", public=public, valid_from=now.timestamp() - 60,
            valid_to=(now + timedelta(days=3650)).timestamp(),
        )  # fmt: skip
        self.front.store.write(lambda _: Commit(change=put(DIGEST_KEY, row)))
        self.s3 = self.front.client("s3")
        self.s3.create_bucket(Bucket="trail-logs")
        self.arn = self.trail.create_trail(Name="all", S3BucketName="trail-logs", EnableLogFileValidation=True)[
            "TrailARN"
        ]
        self.trail.start_logging(Name="all")
        for hour in range(3):
            self.ec2.create_vpc(CidrBlock=f"10.{hour}.0.0/16")
            self.s3.list_objects_v2(Bucket="trail-logs")
            self.deliverer.deliver()
            self.later += 3600
        self.deliverer.deliver()

    def verdict(self) -> Verdict:
        now = self.front.clock.now()
        return verify(self.trail, self.s3, self.arn, now - timedelta(hours=1), now + timedelta(hours=5))

    def log_files(self, kind: str = "CloudTrail") -> list[str]:
        return [key for key in self.files.keys("trail-logs") if f"/{kind}/" in key]


@pytest.fixture
def proof(tmp_path: Path) -> Proof:
    return Proof(tmp_path)


def test_what_was_delivered_verifies(proof: Proof) -> None:
    verdict = proof.verdict()
    assert (verdict.digests, verdict.files, verdict.faults) == (3, 3, [])
    bodies = [gzip.decompress(proof.files.read("trail-logs", key)) for key in proof.log_files()]
    names = [record["eventName"] for body in bodies for record in json.loads(body)["Records"]]
    assert names == [
        "StartLogging",
        "CreateVpc",
        "CreateVpc",
        "CreateVpc",
    ]  # calls on objects are data events: in no trail


def _rewritten(proof: Proof, kind: str, position: int, change: Any) -> None:
    key = proof.log_files(kind)[position]
    about = proof.files.find("trail-logs", key)
    assert about is not None
    body = change(gzip.decompress(proof.files.read("trail-logs", key)))
    proof.files.put("trail-logs", key, gzip.compress(body), metadata=about.metadata)


@pytest.mark.parametrize(
    ("kind", "position"),
    [("CloudTrail", 0), ("CloudTrail", 2), ("CloudTrail-Digest", 0), ("CloudTrail-Digest", 1), ("CloudTrail-Digest", 2)],
)  # fmt: skip
def test_whatever_is_changed_or_removed_shows(proof: Proof, kind: str, position: int) -> None:
    _rewritten(proof, kind, position, lambda body: body.replace(b"10.", b"11.").replace(b"SHA-256", b"SHA-25X"))
    if kind == "CloudTrail":
        assert len(proof.verdict().faults) == 1
    else:
        _rewritten(proof, kind, position, lambda body: body + b" ")
        assert proof.verdict().faults
    proof.s3.delete_object(Bucket="trail-logs", Key=proof.log_files(kind)[position])
    verdict = proof.verdict()
    assert verdict.faults or verdict.digests < 3  # the newest digest may be missing without a trace, as on AWS


# ---------------------------------------------------------------------- a bucket of another account
def policy(
    *, source: str = "all", prefix: str = "", acl: bool = True, read: bool = True, account: str = ACCOUNT
) -> str:
    """As the CloudTrail User Guide has it."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    arn = {"aws:SourceArn": f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/{source}"}
    put_on: dict[str, Any] = {"StringEquals": {**({"s3:x-amz-acl": "bucket-owner-full-control"} if acl else {}), **arn}}
    statements = [
        {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::theirs",
         "Condition": {"StringEquals": arn}},
        {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Condition": put_on,
         "Resource": f"arn:aws:s3:::theirs/{prefix}AWSLogs/{account}/*"},
    ]  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": statements if read else statements[1:]})


DENIED = [
    None, policy(source="other"), policy(prefix="p/"), policy(read=False), policy(account="999999999999"),
    policy().replace("bucket-owner-full-control", "private"), policy().replace("cloudtrail.amazonaws.com", "logs.amazonaws.com"),
]  # fmt: skip


@pytest.mark.parametrize("text", DENIED)
def test_another_accounts_bucket_must_let_cloudtrail_in(tmp_path: Path, text: str | None) -> None:
    """POL-17."""
    lab = Lab(tmp_path)
    theirs = lab.front.client("s3", key=OTHER_KEY)
    theirs.create_bucket(Bucket="theirs")
    if text is not None:
        theirs.put_bucket_policy(Bucket="theirs", Policy=text)
    with pytest.raises(ClientError) as refused:
        lab.trail.create_trail(Name="all", S3BucketName="theirs")
    assert refused.value.response["Error"]["Code"] == "InsufficientS3BucketPolicyException"
    theirs.put_bucket_policy(Bucket="theirs", Policy=policy())
    lab.trail.create_trail(Name="all", S3BucketName="theirs")
    lab.trail.start_logging(Name="all")
    lab.deliverer.deliver()
    before = list(lab.files.keys("theirs"))
    assert len(before) == 1
    theirs.delete_bucket_policy(Bucket="theirs")
    lab.ec2.create_vpc(CidrBlock="10.0.0.0/16")
    lab.deliverer.deliver()
    assert list(lab.files.keys("theirs")) == before
    assert lab.trail.get_trail_status(Name="all")["LatestDeliveryError"] == "AccessDenied"
    theirs.put_bucket_policy(Bucket="theirs", Policy=policy())
    lab.deliverer.deliver()
    assert len(list(lab.files.keys("theirs"))) == 2  # nothing was skipped


def test_a_deny_of_the_own_bucket_counts(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    deny = {"Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"}}  # fmt: skip
    lab.front.client("s3").put_bucket_policy(Bucket="logs", Policy=json.dumps(deny))
    with pytest.raises(ClientError, match="InsufficientS3BucketPolicyException"):
        lab.trail.create_trail(Name="all", S3BucketName="logs")
