"""The stages of the pipeline, by refusal and by success (IAM-01…04, IAM-14, IAM-35, INF-13, INF-14, SG-62)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from ringfence.api.begun import Lane
from ringfence.api.pipeline import MAX_BODY
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.model.kinds import ROUTE_TABLE, VPC
from tests.api.front import (
    ACCOUNT,
    KEY,
    OTHER_KEY,
    SECRET,
    URL,
    USER_KEY,
    USER_SECRET,
    Answer,
    Front,
    http_request,
    signed,
)

EC2 = {"Version": "2016-11-15"}


@pytest.fixture
def front() -> Front:
    return Front()


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


# ---------------------------------------------------------------------- what works
def test_unmodified_clients_are_served(front: Front) -> None:
    who = front.client("sts").get_caller_identity()
    assert (who["Account"], who["Arn"], who["UserId"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
    vpc = front.client("ec2").create_vpc(CidrBlock="10.1.0.0/16")
    assert vpc["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert front.store.world.find(VPC, vpc["Vpc"]["VpcId"]) is not None
    assert len(vpc["ResponseMetadata"]["RequestId"]) == 36


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_presigned_calls_are_served(front: Front, method: str) -> None:
    """IAM-01: the query form, as token helpers of other tools use it."""
    url = front.client("sts").generate_presigned_url("get_caller_identity", HttpMethod=method)
    answer = Answer(front.pipeline.handle(http_request(method, url, [], b"")))
    assert answer.status == 200
    assert ACCOUNT.encode() in answer.response.body


def test_a_get_with_its_parameters_in_the_query_is_served(front: Front) -> None:
    request = signed(b"", method="GET", url=f"{URL}/?Action=DescribeVpcs&Version=2016-11-15")
    assert front.pipeline.handle(request).status == 200


def test_the_regions_are_apart(front: Front) -> None:
    made = front.client("ec2", region="eu-west-1").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    assert made in [vpc["VpcId"] for vpc in front.client("ec2", region="eu-west-1").describe_vpcs()["Vpcs"]]
    assert made not in [vpc["VpcId"] for vpc in front.client("ec2").describe_vpcs()["Vpcs"]]


@pytest.mark.parametrize("region", botocore.session.get_session().get_available_regions("ec2"))
def test_every_region_that_clients_know_is_served(front: Front, region: str) -> None:
    answer = front.ask({"Action": "DescribeAvailabilityZones"}, region=region)
    assert (answer.status, answer.response.body.count(f"<zoneName>{region}".encode()) >= 3) == (200, True)


# ---------------------------------------------------------------------- who asks
SIGNATURES: dict[str, tuple[Callable[[], HttpRequest], int, str]] = {
    "unsigned": (lambda: replace(signed(b"Action=DescribeVpcs"), headers=(("host", "ec2.local"),)), 403,
                 "MissingAuthenticationToken"),
    "another secret": (lambda: signed(b"Action=X", secret="wrong"), 401, "AuthFailure"),
    "unknown key": (lambda: signed(b"Action=X", key="AKIDNOBODY"), 401, "AuthFailure"),
    "a token with a long-term key": (lambda: signed(b"Action=X", token="tok"), 401, "AuthFailure"),
    "a Region that is none": (lambda: signed(b"Action=X", region="us-moon-1"), 401, "AuthFailure"),
    "an empty Region": (lambda: signed(b"Action=X", region=""), 400, "IncompleteSignature"),
    "body changed": (lambda: replace(signed(b"Action=DescribeVpcs"), body=b"Action=DeleteVpc"), 401, "AuthFailure"),
    "malformed": (lambda: replace(signed(b""), headers=(("authorization", "AWS4-HMAC-SHA256 nothing"), ("host", "ec2.local"))), 400,
                  "IncompleteSignature"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_ec2_refuses_a_bad_signature_in_its_own_words(front: Front, name: str) -> None:
    """IAM-01, IAM-02, IAM-04."""
    make, status, code = SIGNATURES[name]
    answer = Answer(front.pipeline.handle(make()))
    assert (answer.status, answer.code) == (status, code)
    assert not list(front.store.world)
    assert len(front.audit()) == 1


@pytest.mark.parametrize(
    ("key", "secret", "code"), [(KEY, "wrong", "SignatureDoesNotMatch"), ("AKIDNOBODY", SECRET, "InvalidClientTokenId")]
)
def test_other_services_name_the_fault(front: Front, key: str, secret: str, code: str) -> None:
    """IAM-02."""
    assert code_of(front.client("sts", key=key, secret=secret).get_caller_identity) == code


@pytest.mark.parametrize(
    ("service", "method", "end"),
    [
        (
            "sts",
            "get_caller_identity",
            "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
        ("s3", "list_buckets", "Check your key and signing method."),
    ],
)
def test_a_wrong_signature_is_told_in_the_words_of_the_service(
    front: Front, service: str, method: str, end: str
) -> None:
    """The sentences that moto's authors and others saw of AWS."""
    with pytest.raises(ClientError) as caught:
        getattr(front.client(service, secret="wrong"), method)()
    text = "The request signature we calculated does not match the signature you provided. "
    assert caught.value.response["Error"]["Message"] == text + end


@pytest.mark.parametrize("minutes", [-16, 16])
@pytest.mark.parametrize("service", ["ec2", "sts"])
def test_a_stale_clock_is_refused(front: Front, service: str, minutes: int) -> None:
    """IAM-03."""
    front.clock.skew = timedelta(minutes=minutes)
    assert front.ask({"Action": "DescribeVpcs"}, service=service).code == "RequestExpired"


def test_the_scope_that_is_signed_is_the_one_that_is_served(front: Front) -> None:
    """A second Credential must not lead the call to another service than the signature covers."""
    request = signed(b"Action=GetCallerIdentity&Version=2011-06-15", service="ec2")
    authorization = dict(request.headers)["authorization"]
    for changed in (
        authorization.replace(
            "AWS4-HMAC-SHA256 ", f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/sts/aws4_request, "
        ),
        authorization.replace(
            "SignedHeaders=", f"XCredential={KEY}/20260101/us-east-1/sts/aws4_request,SignedHeaders="
        ),
        authorization.replace("/ec2/", "/sts/"),
    ):
        headers = tuple((name, changed if name == "authorization" else value) for name, value in request.headers)
        assert Answer(front.pipeline.handle(replace(request, headers=headers))).status in (400, 403)


def test_a_parameter_that_looks_like_a_scope_leads_nowhere_else(front: Front) -> None:
    """Signed for EC2 by its owner, with a parameter that reads like a credential of STS."""
    query = f"Action=GetCallerIdentity&xCredential={KEY}/20260101/us-east-1/sts/aws4_request"
    request = AWSRequest(method="GET", url=f"{URL}/?{query}")
    botocore.auth.SigV4QueryAuth(Credentials(KEY, SECRET), "ec2", "us-east-1").add_auth(request)
    answer = Answer(front.pipeline.handle(http_request("GET", request.prepare().url, [], b"")))
    assert answer.code == "IncompleteSignature"


def test_two_authorization_headers_are_refused(front: Front) -> None:
    request = signed(b"Action=DescribeVpcs")
    twice = (*request.headers, ("authorization", dict(request.headers)["authorization"]))
    assert Answer(front.pipeline.handle(replace(request, headers=twice))).code == "IncompleteSignature"


# ---------------------------------------------------------------------- what is asked
REFUSED: dict[str, tuple[dict[str, str] | str | bytes, str, str]] = {
    "no action": ({}, "MissingAction", ""),
    "unknown action": ({"Action": "MakeCoffee"}, "InvalidAction", "MakeCoffee"),
    "action of another service": ({"Action": "GetCallerIdentity"}, "InvalidAction", "GetCallerIdentity"),
    "action in another case": ({"Action": "describevpcs"}, "InvalidAction", "describevpcs"),
    "escaped action": ("Action=Describe%56pcs", "InvalidAction", ""),
    "action not served": ({"Action": "CreateFpgaImage", "InputStorageLocation.Bucket": "b"}, "UnsupportedOperation", "CreateFpgaImage"),
    "unknown parameter": ({"Action": "DescribeVpcs", "Colour": "red"}, "UnknownParameter", "Colour"),
    "unknown parameter inside": ({"Action": "DescribeVpcs", "Filter.1.Colour": "red"}, "UnknownParameter", "Filter.1.Colour"),
    "parameter in member spelling": ({"Action": "DescribeVpcs", "VpcIds.1": "vpc-1"}, "UnknownParameter", "VpcIds"),
    "parameter below a scalar": ({"Action": "CreateVpc", "CidrBlock.1": "10.0.0.0/16"}, "UnknownParameter", "CidrBlock.1"),
    "list without indices": ({"Action": "DescribeVpcs", "VpcId": "vpc-1"}, "UnknownParameter", "VpcId"),
    "list index that is no number": ({"Action": "DescribeVpcs", "VpcId.x": "vpc-1"}, "UnknownParameter", "VpcId.x"),
    "list index with a leading zero": ({"Action": "DescribeVpcs", "VpcId.01": "vpc-1"}, "UnknownParameter", "VpcId.01"),
    "list index below zero": ({"Action": "DescribeVpcs", "VpcId.-1": "vpc-1"}, "UnknownParameter", "VpcId.-1"),
    "plain Query's list spelling": ({"Action": "DescribeVpcs", "VpcId.member.1": "vpc-1"}, "UnknownParameter", "VpcId.member"),
    "empty part of a name": ({"Action": "CreateVpc", "CidrBlock.": "x"}, "UnknownParameter", "CidrBlock."),
    "empty part below a value": ("Action=CreateVpc&CidrBlock=x&CidrBlock..A=y", "UnknownParameter", "CidrBlock..A"),
    "no name": ("Action=DescribeVpcs&=x", "UnknownParameter", ""),
    "name too deep": ({"Action": "DescribeVpcs", ".".join("a" * 40): "x"}, "UnknownParameter", "a.a"),
    "name too long": ({"Action": "DescribeVpcs", "a" * 5000: "x"}, "UnknownParameter", "a" * 100),
    "missing parameter": ({"Action": "CreateSecurityGroup", "GroupName": "g"}, "MissingParameter", "parameter GroupDescription"),
    "missing parameter, AWS's spelling": (
        {"Action": "CreateSecurityGroup", "GroupDescription": "d"}, "MissingParameter", "parameter GroupName"),
    "not an integer": ({"Action": "DescribeVpcs", "MaxResults": "ten"}, "InvalidParameterValue", "MaxResults"),
    "an empty integer": ({"Action": "DescribeVpcs", "MaxResults": ""}, "InvalidParameterValue", "MaxResults"),
    "integer of other digits": ({"Action": "DescribeVpcs", "MaxResults": "١٠"}, "InvalidParameterValue", "MaxResults"),
    "integer out of range": ({"Action": "DescribeVpcs", "MaxResults": "2147483648"}, "InvalidParameterValue", "MaxResults"),
    "integer far out of range": ({"Action": "DescribeVpcs", "MaxResults": "9" * 400}, "InvalidParameterValue", "MaxResults"),
    "not a boolean": ({"Action": "DescribeVpcs", "DryRun": "maybe"}, "InvalidParameterValue", "DryRun"),
    "not of the enumeration": (
        {"Action": "CreateVpc", "CidrBlock": "10.0.0.0/16", "InstanceTenancy": "shared"}, "InvalidParameterValue", "InstanceTenancy"),
    "not base64": (
        {"Action": "ImportKeyPair", "KeyName": "k", "PublicKeyMaterial": "a*b"}, "InvalidParameterValue", "PublicKeyMaterial"),
    "characters XML cannot carry": (
        {"Action": "CreateSecurityGroup", "GroupName": "a\x00b", "GroupDescription": "d"}, "InvalidParameterValue", "GroupName"),
    "unknown name that XML cannot carry": ({"Action": "DescribeVpcs", "a\x01b": "x"}, "UnknownParameter", "a?b"),
    "given twice": ("Action=CreateVpc&CidrBlock=10.0.0.0/16&CidrBlock=10.1.0.0/16", "MalformedQueryString", "CidrBlock"),
    "action given twice": ("Action=DescribeVpcs&Action=DeleteVpc", "MalformedQueryString", ""),
    "not UTF-8": (b"Action=CreateVpc&CidrBlock=\xff", "MalformedQueryString", "UTF-8"),
    "not UTF-8 when decoded": ("Action=CreateVpc&CidrBlock=%ff%fe", "MalformedQueryString", "UTF-8"),
    "a surrogate": ("Action=CreateVpc&CidrBlock=%ed%a0%80", "MalformedQueryString", "UTF-8"),
    "too many parameters": ("Action=DescribeVpcs" + "&a=b" * 20_100, "MalformedQueryString", "20000"),
    "unknown version": ({"Action": "DescribeVpcs", "Version": "2099-01-01"}, "NoSuchVersion", "2099-01-01"),
    "version that is no date": ({"Action": "DescribeVpcs", "Version": "newest"}, "NoSuchVersion", "newest"),
    "body too large": (b"Action=DescribeVpcs&x=" + b"a" * MAX_BODY, "RequestEntityTooLarge", str(MAX_BODY)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_ec2_refuses_a_bad_request_changes_nothing_and_audits_it(front: Front, name: str) -> None:
    """INF-13, IAM-35."""
    form, code, text = REFUSED[name]
    answer = front.ask({**EC2, **form} if isinstance(form, dict) else form)
    assert (answer.code, answer.status // 100) == (code, 4), answer.message
    assert text in answer.message
    assert not list(front.store.world)
    (event,) = front.audit()
    assert event["errorCode"] == f"Client.{code}"


QUERY_REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "unknown action": ({"Action": "MakeCoffee"}, "InvalidAction"),
    "not served": ({"Action": "GetWebIdentityToken", "Audience.member.1": "x", "SigningAlgorithm": "RS256"}, "UnsupportedOperation"),
    "missing parameter": ({"Action": "AssumeRole", "RoleArn": "a"}, "ValidationError"),
    "EC2's list spelling": (
        {"Action": "AssumeRole", "RoleArn": "a", "RoleSessionName": "s", "PolicyArns.1.arn": "x"}, "UnknownParameter"),
    "version of EC2": ({"Action": "GetCallerIdentity", "Version": "2016-11-15"}, "NoSuchVersion"),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERY_REFUSED)
def test_sts_refuses_in_the_query_shape(front: Front, name: str) -> None:
    """INF-13."""
    form, code = QUERY_REFUSED[name]
    answer = front.ask(form, service="sts")
    assert answer.code == code
    assert answer.response.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<ErrorResponse>')


def test_a_compressed_body_is_refused(front: Front) -> None:
    """Not parsed as something else."""
    answer = front.ask(gzip.compress(b"Action=DescribeVpcs"), headers={"Content-Encoding": "gzip"})
    assert answer.code == "InvalidRequest"
    assert "gzip" in answer.message


def test_parameters_in_query_and_body_count_together(front: Front) -> None:
    """Nothing signed is ignored."""
    assert front.ask("Action=DescribeVpcs", url=f"{URL}/?MaxResults=ten").code == "InvalidParameterValue"
    assert front.ask("Action=DescribeVpcs", url=f"{URL}/?Action=DeleteVpc").code == "MalformedQueryString"
    assert front.ask("Action=DescribeVpcs", url=f"{URL}/?X-Amz-Date=1").code == "UnknownParameter"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_other_methods_ask_for_nothing(front: Front, method: str) -> None:
    assert front.ask("Action=DescribeVpcs", method=method).code == "MissingAction"


def test_older_versions_are_served(front: Front) -> None:
    assert front.ask({"Action": "DescribeVpcs", "Version": "2014-10-01"}).status == 200


# ---------------------------------------------------------------------- may they
def test_nobody_but_root_may_do_anything(front: Front) -> None:
    """IAM-14, IAM-35: denied by default, audited, nothing changed."""
    with pytest.raises(ClientError) as caught:
        front.client("ec2", key=USER_KEY).create_vpc(CidrBlock="10.0.0.0/16")
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("UnauthorizedOperation", 403)
    assert "user/ann is not authorized to perform: ec2:CreateVpc" in error["Error"]["Message"]
    assert not list(front.store.world)
    (event,) = front.audit()
    assert event["errorCode"] == "Client.UnauthorizedOperation"
    assert event["userIdentity"]["arn"].endswith("user/ann")


def test_other_services_say_access_denied(front: Front) -> None:
    assert code_of(lambda: front.client("iam", key=USER_KEY).list_users()) == "AccessDenied"


def test_everybody_may_ask_who_they_are(front: Front) -> None:
    assert front.client("sts", key=USER_KEY).get_caller_identity()["Arn"].endswith("user/ann")


def test_permission_comes_before_existence(front: Front) -> None:
    """IAM-37."""
    call = lambda: front.client("ec2", key=USER_KEY).delete_vpc(VpcId="vpc-00000000")  # noqa: E731
    assert code_of(call) == "UnauthorizedOperation"


# ---------------------------------------------------------------------- DryRun
def test_dry_run_says_what_would_happen_and_changes_nothing(front: Front) -> None:
    """SG-62: DryRunOperation when it would succeed."""
    ec2 = front.client("ec2")
    ec2.describe_vpcs()
    before = front.store.world
    with pytest.raises(ClientError) as caught:
        ec2.create_security_group(GroupName="g", Description="d", DryRun=True)
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("DryRunOperation", 412)
    assert front.store.world is before


DRY = {
    "not permitted": (USER_KEY, {"Action": "CreateVpc", "CidrBlock": "10.0.0.0/16"}, "UnauthorizedOperation"),
    "would fail": (KEY, {"Action": "CreateVpc", "CidrBlock": "10.0.0.0/33"}, "InvalidParameterValue"),
    "unknown id": (KEY, {"Action": "DeleteVpc", "VpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"),
    "a read": (KEY, {"Action": "DescribeVpcs"}, "DryRunOperation"),
    "the default VPC it would find": (KEY, {"Action": "CreateSecurityGroup", "GroupName": "g", "GroupDescription": "d"}, "DryRunOperation"),
}  # fmt: skip


@pytest.mark.parametrize("name", DRY)
def test_dry_run_in_an_untouched_region_leaves_it_so(front: Front, name: str) -> None:
    """SG-62."""
    key, form, code = DRY[name]
    secret = USER_SECRET if key == USER_KEY else SECRET
    assert front.ask({**form, "DryRun": "true"}, key=key, secret=secret).code == code
    assert not list(front.store.world)
    assert front.audit()[-1]["errorCode"] == f"Client.{code}"


def test_dry_run_false_is_no_dry_run(front: Front) -> None:
    assert front.client("ec2").create_vpc(CidrBlock="10.9.0.0/16", DryRun=False)["Vpc"]["VpcId"]


# ---------------------------------------------------------------------- idempotency
def _vpc(front: Front, **how: Any) -> str:
    return str(front.client("ec2", **how).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def test_the_same_token_and_parameters_give_the_same_answer_and_one_table(front: Front) -> None:
    """INF-14."""
    ec2, vpc = front.client("ec2"), _vpc(front)
    first = ec2.create_route_table(VpcId=vpc, ClientToken="t")
    world = front.store.world
    again = ec2.create_route_table(VpcId=vpc, ClientToken="t")
    assert again["RouteTable"] == first["RouteTable"]
    assert again["ResponseMetadata"]["RequestId"] != first["ResponseMetadata"]["RequestId"]
    assert front.store.world is world
    assert len([event for event in front.audit() if event["eventName"] == "CreateRouteTable"]) == 2


def test_the_same_token_with_other_parameters_is_refused(front: Front) -> None:
    """INF-14."""
    ec2, one, two = front.client("ec2"), _vpc(front), _vpc(front)
    ec2.create_route_table(VpcId=one, ClientToken="t")
    world = front.store.world
    assert code_of(lambda: ec2.create_route_table(VpcId=two, ClientToken="t")) == "IdempotentParameterMismatch"
    assert front.store.world is world


def test_tokens_of_other_callers_regions_and_actions_are_others(front: Front) -> None:
    """INF-14."""
    made = set()
    for how in ({}, {"region": "us-west-2"}, {"key": OTHER_KEY}):
        ec2, vpc = front.client("ec2", **how), _vpc(front, **how)
        made.add(ec2.create_route_table(VpcId=vpc, ClientToken="t")["RouteTable"]["RouteTableId"])
        made.add(ec2.create_network_acl(VpcId=vpc, ClientToken="t")["NetworkAcl"]["NetworkAclId"])
        made.add(ec2.create_route_table(VpcId=vpc, ClientToken="other")["RouteTable"]["RouteTableId"])
    assert len(made) == 9


def test_a_refused_call_and_a_dry_run_leave_their_token_free(front: Front) -> None:
    """INF-14: only a reply that was given is repeated."""
    ec2, vpc = front.client("ec2"), _vpc(front)
    assert (
        code_of(lambda: ec2.create_route_table(VpcId="vpc-0123456789abcdef0", ClientToken="t"))
        == "InvalidVpcID.NotFound"
    )
    assert code_of(lambda: ec2.create_route_table(VpcId=vpc, ClientToken="t", DryRun=True)) == "DryRunOperation"
    assert ec2.create_route_table(VpcId=vpc, ClientToken="t")["RouteTable"]["RouteTableId"]


def test_calls_without_a_token_are_not_remembered(front: Front) -> None:
    vpc = _vpc(front)
    form = {"Action": "CreateRouteTable", "VpcId": vpc}
    before = len(front.store.world.by(ROUTE_TABLE, "vpc", vpc))
    assert (front.ask(form).status, front.ask(form).status) == (200, 200)
    assert len(front.store.world.by(ROUTE_TABLE, "vpc", vpc)) == before + 2


# ---------------------------------------------------------------------- first touch of a Region
def test_a_region_is_made_usable_by_the_first_call_and_once(front: Front) -> None:
    ec2 = front.client("ec2")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"]
    assert [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]] == [vpc["VpcId"]]
    front.client("sts", region="us-west-1").get_caller_identity()
    assert {row.region for _, row in front.store.world} == {"us-east-1"}


def test_a_failed_first_call_does_not_touch_the_region(front: Front) -> None:
    assert code_of(lambda: front.client("ec2").delete_vpc(VpcId="vpc-0123456789abcdef0")) == "InvalidVpcID.NotFound"
    assert not list(front.store.world)


# ---------------------------------------------------------------------- our own faults
class _Broken(Exception):
    pass


@pytest.mark.parametrize(
    ("service", "action", "code"),
    [("ec2", "DescribeVpcs", "InternalError"), ("sts", "GetCallerIdentity", "InternalFailure")],
)
def test_a_bug_of_ours_is_counted_logged_audited_and_says_nothing(
    front: Front, service: str, action: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise _Broken("secret detail")

    front.pipeline.authorise = broken
    answer = front.ask({"Action": action}, service=service)
    assert (answer.status, answer.code) == (500, code)
    assert b"secret detail" not in answer.response.body
    assert front.pipeline.internal_errors == 1
    assert "secret detail" in caplog.text
    assert front.audit()[-1]["errorCode"].endswith(code)


def test_a_bug_in_an_operation_changes_nothing(front: Front) -> None:
    def broken(_: Any) -> None:
        raise _Broken

    front.pipeline.check = broken
    assert code_of(lambda: front.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")) == "InternalError"
    assert not list(front.store.world)


# ---------------------------------------------------------------------- lanes
def _begun(front: Front, form: str) -> Any:
    begun = front.pipeline.begin(signed(form.encode()))
    assert not isinstance(begun, HttpResponse)
    return begun


def test_writes_wait_on_the_writer_and_reads_do_not(front: Front) -> None:
    lane = front.pipeline.lane
    assert lane(_begun(front, "Action=DescribeVpcs")) is Lane.WRITER  # it would make the Region usable
    assert lane(_begun(front, "Action=DescribeVpcs&DryRun=true")) is Lane.INLINE  # it would not
    front.client("ec2").describe_vpcs()
    assert lane(_begun(front, "Action=DescribeVpcs")) is Lane.INLINE
    assert lane(_begun(front, "Action=CreateVpc&CidrBlock=10.0.0.0/16")) is Lane.WRITER
    assert lane(_begun(front, "Action=CreateVpc&CidrBlock=10.0.0.0/16&DryRun=true")) is Lane.INLINE


def test_a_read_that_was_long_is_kept_off_the_event_loop(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.api.pipeline.HEAVY_REPLY", 100)
    front.client("ec2").describe_vpcs()
    assert front.pipeline.lane(_begun(front, "Action=DescribeVpcs")) is Lane.READER
    assert front.pipeline.lane(_begun(front, "Action=DescribeSubnets")) is Lane.INLINE


# ---------------------------------------------------------------------- reset
def _reset(front: Front, **changes: Any) -> int:
    request = HttpRequest("POST", "/_ringfence/reset", "", (("host", "127.0.0.1"),), b"", "127.0.0.1")
    return front.pipeline.handle(replace(request, **changes)).status


def test_reset_forgets_everything_but_the_audit_trail(front: Front) -> None:
    _vpc(front)
    events = len(front.audit())
    assert _reset(front) == 200
    assert not list(front.store.world)
    assert len(front.audit()) == events


NO_RESET: dict[str, dict[str, Any]] = {
    "from elsewhere": {"peer": "192.0.2.1"},
    "GET": {"method": "GET"},
    "from a page in a browser": {"headers": (("host", "127.0.0.1"), ("origin", "http://evil.example"))},
    "other path": {"path": "/_ringfence/resets"},
    "moto's path": {"path": "/moto-api/reset"},
}


@pytest.mark.parametrize("name", NO_RESET)
def test_reset_is_for_the_owner_of_the_machine(front: Front, name: str) -> None:
    _vpc(front)
    assert _reset(front, **NO_RESET[name]) in (403, 404)
    assert list(front.store.world)


def test_a_lasting_installation_has_no_reset(front: Front) -> None:
    front.pipeline.reset = None
    assert _reset(front) == 404
