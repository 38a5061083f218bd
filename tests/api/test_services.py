"""Every AWS service a client may be pointed at answers, in that service's protocol (INF-13; client-surface section 7)."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

import ringfence.app  # noqa: F401  fills the registry
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model
from ringfence.api.wire.http import HttpRequest
from ringfence.api.wire.route import claim_of
from tests.api.front import USER_KEY, Answer, Front, signed
from tests.api.wire.cases import Cases, sent

#: what real clients call (client-surface section 6), and the code they get
CALLED: list[tuple[str, str, dict[str, Any], str]] = [
    ("iam", "list_delegation_requests", {}, "UnsupportedOperation"),
    ("sts", "get_web_identity_token", {"Audience": ["x"], "SigningAlgorithm": "RS256"}, "UnsupportedOperation"),
    ("autoscaling", "describe_launch_configurations", {}, "UnsupportedOperation"),
    ("elbv2", "describe_load_balancers", {}, "UnsupportedOperation"),
    ("logs", "describe_deliveries", {}, "UnsupportedOperation"),
    ("cloudtrail", "list_channels", {}, "UnsupportedOperation"),
    ("organizations", "describe_effective_policy", {"PolicyType": "TAG_POLICY"}, "UnsupportedOperation"),
    ("ssm", "describe_instance_information", {}, "UnsupportedOperation"),
    ("events", "list_event_buses", {}, "UnsupportedOperation"),
    ("codebuild", "list_projects", {}, "UnsupportedOperation"),
    ("ecs", "describe_clusters", {}, "UnsupportedOperation"),
    ("resourcegroupstaggingapi", "get_resources", {}, "UnsupportedOperation"),
    ("cloudwatch", "list_dashboards", {}, "UnsupportedOperation"),
    ("lambda", "list_functions", {}, "UnsupportedOperation"),
    ("backup", "list_backup_vaults", {}, "UnsupportedOperation"),
    ("batch", "describe_compute_environments", {}, "UnsupportedOperation"),
    ("cloudfront", "list_distributions", {}, "UnknownOperationException"),
    ("s3", "list_buckets", {}, "NotImplemented"),
    ("s3", "get_bucket_acl", {"Bucket": "some-bucket"}, "NotImplemented"),
    ("s3", "put_object", {"Bucket": "some-bucket", "Key": "a/b", "Body": b"x"}, "NotImplemented"),
]


@pytest.fixture(scope="module")
def front() -> Front:
    return Front()


@pytest.mark.parametrize(
    ("service", "call", "params", "code"), CALLED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_service_that_is_not_served_says_so_in_its_own_protocol(
    front: Front, service: str, call: str, params: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(front.client(service), call)(**params)
    error = caught.value.response
    assert error["Error"]["Code"] == code
    assert error["Error"]["Message"]
    assert error["ResponseMetadata"]["RequestId"]
    assert front.audit()[-1]["errorCode"] == code


#: a few services of each protocol, always the same ones; every service was tried when this was written
#: (but for codecatalyst, whose bearer tokens never reach the wire, and those that sign otherwise or not at all)
OTHERWISE = {"codecatalyst", "cognito-idp", "importexport", "sdb", "sts"}
SAMPLE = random.Random(7).sample(sorted(model.service_names() - OTHERWISE), 20)
#: their scope is shared with a service of another protocol, or in mixed case
SPECIAL = ["sesv2", "servicecatalog-appregistry", "iotsecuretunneling", "applicationcostprofiler", "s3control"]


@pytest.mark.parametrize("service", [*SAMPLE, *SPECIAL])
def test_any_service_of_botocore_gets_a_fault_it_can_read(front: Front, service: str) -> None:
    assert fault_of(front, service)["Code"] in {"UnsupportedOperation", "UnknownOperationException", "NotImplemented"}


def fault_of(front: Front, service: str) -> dict[str, Any]:
    """The error botocore reads when some operation of the service is called."""
    client = front.client(service)
    described = client.meta.service_model
    for method, name in sorted(client.meta.method_to_api_mapping.items()):
        operation = described.operation_model(name)
        if operation.has_streaming_output or operation.has_event_stream_output or operation.has_event_stream_input:
            continue
        shape = operation.input_shape
        if shape is not None and shape.required_members:
            continue
        try:
            getattr(client, method)()
        except ClientError as error:
            found: dict[str, Any] = error.response["Error"]
            return found
        raise AssertionError(f"{service}:{name} was answered as if it were served")
    return {"Code": "UnsupportedOperation"}  # no operation can be called without parameters


def test_every_ec2_operation_that_is_not_served_is_refused_and_none_succeeds_silently(front: Front) -> None:
    """INF-13: UnsupportedOperation, with parameters that pass the validation of the model."""
    unserved = [name for name in model.service("ec2").operation_names if ("ec2", name) not in OPERATIONS]  # type: ignore[union-attr]
    assert unserved
    for name in unserved:
        operation: Any = model.operation("ec2", name)
        params = Cases(name, sparse=True).value(operation.input_shape) if operation.input_shape is not None else {}
        params.pop("DryRun", None)
        answer = front.ask({"Action": name, **dict(sent(operation, params))})
        assert (answer.code, answer.status) == ("UnsupportedOperation", 400), name


def test_permission_is_asked_before_whether_it_is_served(front: Front) -> None:
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        front.client("ec2", key=USER_KEY).describe_fpga_images()


# ---------------------------------------------------------------------- without a scope
@pytest.mark.parametrize(
    ("host", "headers", "body", "protocol"),
    [
        ("ec2.us-east-1.amazonaws.com", (), b"Action=DescribeVpcs", "ec2"),
        ("iam.amazonaws.com", (), b"Action=ListUsers", "query"),
        ("STS.local:4566", (), b"Action=GetCallerIdentity", "query"),
        ("s3.local", (), b"", "s3"),
        ("127.0.0.1:4566", (), b"Action=DescribeVpcs", "ec2"),
        ("127.0.0.1:4566", (("x-amz-target", "Logs_20140328.DescribeLogGroups"),), b"{}", "json"),
        ("127.0.0.1:4566", (("content-type", "application/json"),), b"{}", "rest-json"),
        ("127.0.0.1:4566", (("smithy-protocol", "rpc-v2-cbor"),), b"", "smithy-rpc-v2-cbor"),
        ("127.0.0.1:4566", (), b"", "rest-xml"),
        ("", (), b"", "rest-xml"),
    ],
)
def test_an_unsigned_request_is_refused_in_the_protocol_it_seems_to_speak(
    front: Front, host: str, headers: tuple[tuple[str, str], ...], body: bytes, protocol: str
) -> None:
    """IAM-01: MissingAuthenticationToken, told by Host name when there is no scope."""
    request = HttpRequest("POST", "/", "", (("host", host), *headers), body)
    assert claim_of(request).protocol == protocol
    answer = front.pipeline.handle(request)
    assert answer.status == (400 if protocol in ("json", "rest-json", "smithy-rpc-v2-cbor") else 403)
    assert b"MissingAuthenticationToken" in answer.body


@pytest.mark.parametrize(("service", "call"), [("logs", "describe_log_groups"), ("access-analyzer", "list_analyzers")])
def test_services_of_json_name_faults_of_signatures_their_own_way(service: str, call: str) -> None:
    """IAM-02, IAM-03, IAM-08; CloudWatch Logs API Reference, "Common Errors": UnrecognizedClientException."""
    front = Front()
    name = {"access-analyzer": "accessanalyzer"}.get(service, service)

    def code(**how: Any) -> str:
        with pytest.raises(ClientError) as caught:
            getattr(front.client(name, **how), call)()
        return str(caught.value.response["Error"]["Code"])

    held = front.client("sts", key=USER_KEY).get_session_token(DurationSeconds=900)["Credentials"]
    session = {"key": held["AccessKeyId"], "secret": held["SecretAccessKey"], "token": held["SessionToken"]}
    assert code(key="AKIDNOBODY", secret="x") == "UnrecognizedClientException"
    assert code(secret="another") == "InvalidSignatureException"
    assert code(**session | {"token": "rubbish"}) == "UnrecognizedClientException"
    front.clock.skew = timedelta(minutes=14)
    assert code(**session) not in ("ExpiredTokenException", "InvalidSignatureException")
    front.clock.skew = timedelta(minutes=16)
    assert code() == "InvalidSignatureException"
    front.clock.skew = timedelta()
    front.clock.skew = timedelta(minutes=-10)
    old = front.client("sts", key=USER_KEY).get_session_token(DurationSeconds=900)["Credentials"]
    front.clock.skew = timedelta(minutes=6)
    gone = {"key": old["AccessKeyId"], "secret": old["SecretAccessKey"], "token": old["SessionToken"]}
    assert code(**gone) == "ExpiredTokenException"


def test_the_host_name_does_not_outrank_the_scope(front: Front) -> None:
    request = signed(b"Action=GetCallerIdentity&Version=2011-06-15", service="sts", url="http://ec2.local/")
    assert front.pipeline.handle(request).status == 200
    request = signed(b"Action=GetCallerIdentity&Version=2011-06-15", service="ec2", url="http://sts.local/")
    assert Answer(front.pipeline.handle(request)).code == "InvalidAction"


def test_an_unknown_service_is_refused_politely(front: Front) -> None:
    answer = front.ask({"Action": "Brew"}, service="coffee")
    assert (answer.status, answer.code) == (400, "InvalidAction")
