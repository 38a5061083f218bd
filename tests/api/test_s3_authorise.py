"""Who may do what to buckets and objects: identity policies, bucket policies, other accounts (IAM-18, POL-17, POL-23 … POL-26)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.identity.evaluate import decide
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Policies, Question, Target
from tests.api.front import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY
from tests.api.test_s3 import Lab


class House(Lab):
    """A bucket `logs` with `mine/a` and `theirs/a`, and users of both accounts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.put("mine/a", "theirs/a")

    def user(self, *statements: dict[str, Any], root: str | None = None) -> Any:
        """An S3 client of a user who has one policy; `root`: the key of the account's root."""
        iam = self.front.client("iam", key=root) if root else self.front.client("iam")
        iam.create_user(UserName="u")
        if statements:
            iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document(*statements))
        key = iam.create_access_key(UserName="u")["AccessKey"]
        return self.front.client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def policy(self, *statements: dict[str, Any]) -> None:
        self.s3.put_bucket_policy(Bucket="logs", Policy=document(*statements))


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action: str | list[str], *resources: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": [f"arn:aws:s3:::{one}" for one in resources], **more}


def deny(action: str | list[str], *resources: str, **more: Any) -> dict[str, Any]:
    return allow(action, *resources, **more) | {"Effect": "Deny"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def outcome(call: Any, **params: Any) -> str:
    try:
        call(**params)
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    return "ok"


def test_an_identity_policy_names_buckets_and_objects(house: House) -> None:
    s3 = house.user(
        allow("s3:GetObject", "logs/mine/*"),
        allow("s3:ListBucket", "logs", Condition={"StringEquals": {"s3:prefix": "mine/"}}),
    )
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(s3.head_object, Bucket="logs", Key="mine/a") == "ok"
    assert outcome(s3.get_object, Bucket="logs", Key="theirs/a") == "AccessDenied"
    assert outcome(s3.put_object, Bucket="logs", Key="mine/b", Body=b"") == "AccessDenied"
    assert outcome(s3.list_objects_v2, Bucket="logs", Prefix="mine/") == "ok"
    assert outcome(s3.list_objects, Bucket="logs", Prefix="mine/") == "ok"
    assert outcome(s3.list_objects_v2, Bucket="logs", Prefix="theirs/") == "AccessDenied"
    assert outcome(s3.list_objects_v2, Bucket="logs") == "AccessDenied"
    assert outcome(s3.list_buckets) == "AccessDenied"
    assert outcome(s3.get_object, Bucket="logs", Key="mine/none") == "AccessDenied"  # who may not list learns no keys
    refused = house.front.audit()[-1]
    assert (refused["errorCode"], refused["requestParameters"]["Key"]) == ("AccessDenied", "mine/none")


def test_many_are_deleted_as_far_as_each_may_be(house: House) -> None:
    s3 = house.user(allow("s3:DeleteObject", "logs/mine/*"))
    reply = s3.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "mine/a"}, {"Key": "theirs/a"}]})
    assert [item["Key"] for item in reply["Deleted"]] == ["mine/a"]
    assert [(item["Key"], item["Code"]) for item in reply["Errors"]] == [("theirs/a", "AccessDenied")]
    assert list(house.files.keys("logs")) == ["theirs/a"]


def test_a_copy_needs_both_ends(house: House) -> None:
    s3 = house.user(allow("s3:PutObject", "logs/mine/*"), allow("s3:GetObject", "logs/mine/*"))
    assert outcome(s3.copy_object, Bucket="logs", Key="mine/b", CopySource="logs/mine/a") == "ok"
    assert outcome(s3.copy_object, Bucket="logs", Key="mine/b", CopySource="logs/theirs/a") == "AccessDenied"
    assert outcome(s3.copy_object, Bucket="logs", Key="mine/b", CopySource="/logs/%74heirs/a") == "AccessDenied"
    assert outcome(s3.copy_object, Bucket="logs", Key="theirs/b", CopySource="logs/mine/a") == "AccessDenied"


def test_parts_are_puts(house: House) -> None:
    s3 = house.user(allow("s3:PutObject", "logs/mine/*"))
    id = s3.create_multipart_upload(Bucket="logs", Key="mine/b")["UploadId"]
    assert outcome(s3.upload_part, Bucket="logs", Key="mine/b", UploadId=id, PartNumber=1, Body=b"x") == "ok"
    assert outcome(s3.create_multipart_upload, Bucket="logs", Key="theirs/b") == "AccessDenied"
    assert (
        outcome(s3.upload_part, Bucket="logs", Key="theirs/b", UploadId=id, PartNumber=1, Body=b"x") == "AccessDenied"
    )
    assert outcome(s3.abort_multipart_upload, Bucket="logs", Key="mine/b", UploadId=id) == "AccessDenied"


# ---------------------------------------------------------------------- the bucket's side
def test_a_bucket_policy_alone_lets_in_the_same_account(house: House) -> None:
    s3 = house.user()
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    house.policy(allow("s3:GetObject", "logs/*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}))
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "ok"
    house.policy(deny("s3:*", "logs", "logs/*", Principal="*"))
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"  # the root too
    assert outcome(house.s3.delete_bucket_policy, Bucket="logs") == "ok"  # AWS: but it can always mend the policy
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "ok"


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [(0, 0, "AccessDenied"), (0, 1, "AccessDenied"), (1, 0, "AccessDenied"), (1, 1, "ok")],
)
def test_another_account_needs_both_sides(house: House, theirs: int, ours: int, expected: str) -> None:
    s3 = house.user(*([allow("s3:GetObject", "logs/*")] if theirs else []), root=OTHER_KEY)
    if ours:
        house.policy(allow("s3:GetObject", "logs/mine/*", Principal={"AWS": OTHER_ACCOUNT}))
    assert outcome(s3.get_object, Bucket="logs", Key="mine/a") == expected
    assert outcome(s3.get_object, Bucket="logs", Key="theirs/a") == "AccessDenied"


def test_the_root_of_another_account_has_no_more_rights(house: House) -> None:
    other = house.front.client("s3", key=OTHER_KEY)
    for call, params in ((other.get_object, {"Key": "mine/a"}), (other.put_object, {"Key": "x", "Body": b""}),
                         (other.delete_bucket, {}), (other.put_bucket_policy, {"Policy": "{}"}), (other.list_objects_v2, {}),
                         (other.get_bucket_policy, {})):  # fmt: skip
        assert outcome(call, Bucket="logs", **params) == "AccessDenied"
    house.policy(allow("s3:*", "logs", "logs/*", Principal={"AWS": OTHER_ACCOUNT}))
    assert outcome(other.get_object, Bucket="logs", Key="mine/a") == "ok"
    listed = other.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "mine/a"}]})
    assert [item["Key"] for item in listed["Deleted"]] == ["mine/a"]


def test_a_policy_must_be_one_of_this_bucket(house: House) -> None:
    for bad in ("", "{", "[]", document(allow("s3:GetObject", "other/*", Principal="*")),
                document(allow("ec2:RunInstances", "logs/*", Principal="*")),
                document(allow("s3:GetObject", "logs/*")), document(allow("s3:GetObject", "log/*", Principal="*"))):  # fmt: skip
        assert outcome(house.s3.put_bucket_policy, Bucket="logs", Policy=bad) in (
            "MalformedPolicy",
            "MissingRequestBodyError",
        )
    text = document(allow("s3:GetObject", "logs/*", Principal="*"))
    house.s3.put_bucket_policy(Bucket="logs", Policy=text)
    assert house.s3.get_bucket_policy(Bucket="logs")["Policy"] == text


def test_a_delivery_asks_for_the_owners_full_control(house: House) -> None:
    """POL-17, as a client of another account meets it."""
    condition = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    house.policy(
        allow("s3:PutObject", f"logs/AWSLogs/{OTHER_ACCOUNT}/*", Principal={"AWS": OTHER_ACCOUNT}, Condition=condition)
    )
    other = house.front.client("s3", key=OTHER_KEY)
    key, acl = f"AWSLogs/{OTHER_ACCOUNT}/x", "bucket-owner-full-control"
    assert outcome(other.put_object, Bucket="logs", Key=key, Body=b"", ACL=acl) == "ok"
    assert outcome(other.put_object, Bucket="logs", Key=key, Body=b"") == "AccessDenied"
    assert outcome(other.put_object, Bucket="logs", Key=f"AWSLogs/{ACCOUNT}/x", Body=b"", ACL=acl) == "AccessDenied"
    assert outcome(other.put_object, Bucket="logs", Key="x", Body=b"", ACL=acl) == "AccessDenied"


def test_conditions_that_only_an_endpoint_fulfils(house: House) -> None:
    """POL-24, POL-25 from outside any endpoint: aws:SourceVpce and aws:SourceVpc are absent, and so the deny holds."""
    for key, value in (("aws:SourceVpce", "vpce-1"), ("aws:SourceVpc", "vpc-1")):
        house.policy(deny("s3:GetObject", "logs/*", Principal="*", Condition={"StringNotEquals": {key: value}}))
        assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "AccessDenied"
    owned = {"StringNotEquals": {"s3:ResourceAccount": ACCOUNT}}
    house.policy(deny("s3:GetObject", "logs/*", Principal="*", Condition=owned))
    assert outcome(house.s3.get_object, Bucket="logs", Key="mine/a") == "ok"


# ---------------------------------------------------------------------- through endpoints: the evaluator (endpoints are not served yet)
def _asked(action: str, arn: str, account: str = ACCOUNT, *, context: dict[str, str] | None = None, endpoint: str | None = None,
           bucket: str | None = None) -> bool:  # fmt: skip
    who = Principal(
        account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/u", user_id="AIDA", kind=PrincipalKind.USER, name="u"
    )
    target = Target(
        arn=arn, account_id=account, context={"s3:resourceaccount": account, "aws:resourceaccount": account},
        policy=Attached("bucket", bucket) if bucket else None,
    )  # fmt: skip
    policies = Policies(
        identity=(Attached("all", document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})),),
        endpoint=Attached("endpoint", endpoint) if endpoint else None,
    )
    return decide(Question(principal=who, action=action, targets=(target,), context=context or {}), policies).allowed


def test_an_endpoint_for_one_bucket() -> None:
    """POL-23."""
    endpoint = document(allow(["s3:GetObject", "s3:PutObject"], "one", "one/*", Principal="*"))
    assert _asked("s3:GetObject", "arn:aws:s3:::one/k", endpoint=endpoint)
    assert not _asked("s3:GetObject", "arn:aws:s3:::two/k", endpoint=endpoint)
    assert not _asked("s3:ListBucket", "arn:aws:s3:::one", endpoint=endpoint)


@pytest.mark.parametrize(
    ("key", "good", "bad"), [("aws:sourceVpce", "vpce-1", "vpce-2"), ("aws:sourceVpc", "vpc-1", "vpc-2")]
)
def test_a_bucket_for_one_endpoint_or_vpc(key: str, good: str, bad: str) -> None:
    """POL-24, POL-25."""
    bucket = document(deny("s3:*", "one", "one/*", Principal="*", Condition={"StringNotEquals": {key: good}}))
    arn = "arn:aws:s3:::one/k"
    assert _asked("s3:GetObject", arn, bucket=bucket, context={key.lower(): good})
    assert not _asked("s3:GetObject", arn, bucket=bucket, context={key.lower(): bad})
    assert not _asked("s3:GetObject", arn, bucket=bucket)


def test_an_endpoint_for_buckets_of_the_own_account() -> None:
    """POL-26."""
    endpoint = document(
        {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
         "Condition": {"StringNotEquals": {"s3:ResourceAccount": ACCOUNT}}},
    )  # fmt: skip
    theirs = document(allow("s3:*", "one", "one/*", Principal={"AWS": ACCOUNT}))
    assert _asked("s3:GetObject", "arn:aws:s3:::one/k", endpoint=endpoint)
    assert not _asked("s3:GetObject", "arn:aws:s3:::one/k", OTHER_ACCOUNT, endpoint=endpoint, bucket=theirs)
    assert _asked("s3:GetObject", "arn:aws:s3:::one/k", OTHER_ACCOUNT, bucket=theirs)
