"""Faults of every protocol, read by botocore's own parsers (INF-13)."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import botocore.parsers
import pytest

from ringfence.api.wire import model
from ringfence.api.wire.fault import PROTOCOLS, render
from ringfence.model.errors import ERRORS, fault

#: our name of the protocol -> botocore's parser, and a service that speaks it
READERS = {
    "ec2": ("ec2", "ec2", "DescribeVpcs"),
    "query": ("query", "sts", "GetCallerIdentity"),
    "json": ("json", "logs", "DescribeLogGroups"),
    "rest-json": ("rest-json", "lambda", "ListFunctions"),
    "rest-xml": ("rest-xml", "cloudfront", "ListDistributions2020_05_31"),
    "s3": ("rest-xml", "s3", "ListBuckets"),
    "smithy-rpc-v2-cbor": ("smithy-rpc-v2-cbor", "cloudwatch", "DescribeAlarms"),
}
AWKWARD = "a <b> & \"c\" 'd' ünïcødé 日本 \r\n end"


def test_every_protocol_has_a_reader() -> None:
    assert set(READERS) == PROTOCOLS


@pytest.mark.parametrize(
    "status_code", ["UnsupportedOperation", "AccessDenied", "InternalFailure", "RequestEntityTooLarge"]
)
@pytest.mark.parametrize("protocol", READERS)
def test_botocore_reads_code_message_and_request_id(protocol: str, status_code: str) -> None:
    parser, service, action = READERS[protocol]
    operations = model.service(service).operation_names  # type: ignore[union-attr]
    operation = model.operation(service, action if action in operations else operations[0])
    response = render(protocol, fault(status_code, message=AWKWARD), "request-1")
    assert response.status == ERRORS[status_code].status
    got = botocore.parsers.create_parser(parser).parse(
        {
            "status_code": response.status,
            "headers": {**dict(response.headers), "content-type": response.content_type},
            "body": response.body,
        },
        operation.output_shape,  # type: ignore[union-attr]
    )
    assert got["Error"]["Code"] == status_code
    assert got["Error"]["Message"] == AWKWARD
    assert got["ResponseMetadata"]["RequestId"] == "request-1"


def test_the_ec2_shape_is_the_documented_one() -> None:
    """INF-13: Errors/Error/Code, Message, RequestID."""
    root = ElementTree.fromstring(render("ec2", fault("InvalidVpcID.NotFound", id="vpc-1"), "r").body)
    assert root.tag == "Response"
    assert [child.tag for child in root] == ["Errors", "RequestID"]
    assert root.findtext("Errors/Error/Code") == "InvalidVpcID.NotFound"
    assert root.findtext("Errors/Error/Message") == "The vpc ID 'vpc-1' does not exist"


@pytest.mark.parametrize(("code", "kind"), [("AccessDenied", "Sender"), ("InternalFailure", "Receiver")])
def test_a_query_fault_says_whose_it_is(code: str, kind: str) -> None:
    root = ElementTree.fromstring(render("query", fault(code, message="m"), "r").body)
    assert root.findtext("Error/Type") == kind


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS - {"smithy-rpc-v2-cbor"}))
def test_characters_xml_cannot_carry_do_not_break_a_fault(protocol: str) -> None:
    """A message quotes what the client sent, which may be anything."""
    body = render(protocol, fault("UnknownParameter", name="a\x00\x1b\ufffeb"), "r").body
    if protocol in ("json", "rest-json"):
        assert "a???b" in json.loads(body)["message"]
    else:
        assert "a???b" in "".join(ElementTree.fromstring(body).itertext())
