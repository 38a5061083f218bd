"""Audit records as CloudTrail shows them (CloudTrail User Guide: "CloudTrail record contents"; MON-11, MON-12).

A record is stored with the member names of the service model, as the call was read; `shown` renames them the way
CloudTrail writes them: lower camel case, lists of EC2 as `{"items": [...]}`, replies of EC2 by their names on the wire. Being a
function of the record, it can be applied whenever one is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.api.wire import model
from ringfence.model.kinds import KINDS

#: resource types of AWS Config and CloudTrail, by our nouns
TYPES = {
    "vpc": "AWS::EC2::VPC", "subnet": "AWS::EC2::Subnet", "dhcp-options": "AWS::EC2::DHCPOptions",
    "internet-gateway": "AWS::EC2::InternetGateway", "route-table": "AWS::EC2::RouteTable", "vpc-endpoint": "AWS::EC2::VPCEndpoint",
    "security-group": "AWS::EC2::SecurityGroup", "network-acl": "AWS::EC2::NetworkAcl",
    "network-interface": "AWS::EC2::NetworkInterface", "elastic-ip": "AWS::EC2::EIP", "instance": "AWS::EC2::Instance",
    "image": "AWS::EC2::Ami", "key-pair": "AWS::EC2::KeyPair",
}  # fmt: skip
#: members that name a resource of IAM and others
_NAMES = {
    "UserName": "AWS::IAM::User", "RoleName": "AWS::IAM::Role", "GroupName": "AWS::IAM::Group", "PolicyArn": "AWS::IAM::Policy",
    "InstanceProfileName": "AWS::IAM::InstanceProfile", "AccessKeyId": "AWS::IAM::AccessKey",
    "S3BucketName": "AWS::S3::Bucket", "TrailARN": "AWS::CloudTrail::Trail", "RoleArn": "AWS::IAM::Role",
}  # fmt: skip
_BY_PREFIX = {kind.prefix: TYPES[kind.noun] for kind in KINDS.values() if kind.noun in TYPES and kind.prefix}


#: CloudTrail User Guide, "Logging data events": calls on objects, which no trail of management events has
_DATA = frozenset(
    {
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "DeleteObject", "DeleteObjects",
        "GetObject", "HeadBucket", "HeadObject", "ListMultipartUploads", "ListObjects", "ListObjectsV2", "ListParts", "PutObject",
        "UploadPart", "UploadPartCopy",
    }
)  # fmt: skip


def is_data_event(event: Mapping[str, Any]) -> bool:
    """Is it a call on an object of a bucket, rather than one that manages something?"""
    return event["eventSource"] == "s3.amazonaws.com" and event["eventName"] in _DATA


def shown(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event as CloudTrail delivers it."""
    service = str(event["eventSource"]).partition(".")[0]
    operation = model.operation(service, str(event["eventName"]))
    ec2 = service == "ec2"
    out = dict(event)
    out["eventTime"] = f"{event['eventTime'][:19]}Z"
    if event.get("requestParameters"):
        asked = operation.input_shape if operation is not None else None
        out["requestParameters"] = _renamed(event["requestParameters"], ec2, asked)
    if event.get("responseElements"):
        shape = operation.output_shape if operation is not None and ec2 else None
        reply = _answered(event["responseElements"], shape)
        out["responseElements"] = {"requestId": event["requestID"], **reply} if ec2 else reply
    return out | {"managementEvent": True, "eventCategory": "Management"}


def _renamed(value: Any, ec2: bool, shape: Any = None) -> Any:
    """`shape`: of the value, where it is known: the keys of a map are nobody's to rename."""
    kind = shape.type_name if shape is not None else None
    if isinstance(value, Mapping) and kind == "map":
        return {name: _renamed(item, ec2, shape.value) for name, item in value.items()}
    if isinstance(value, Mapping):
        members = shape.members if kind == "structure" else {}
        return {name[:1].lower() + name[1:]: _renamed(item, ec2, members.get(name)) for name, item in value.items()}
    if isinstance(value, list):
        items = [_renamed(item, ec2, shape.member if kind == "list" else None) for item in value]
        return {"items": items} if ec2 else items
    return value


def _answered(value: Any, shape: Any) -> Any:
    """A reply by its names on the wire (EC2), or renamed."""
    if shape is None:
        return _renamed(value, False)
    if shape.type_name == "structure" and isinstance(value, Mapping):
        return {
            shape.members[name].serialization.get("name", name): _answered(item, shape.members[name])
            for name, item in value.items()
            if name in shape.members
        }
    if shape.type_name == "list" and isinstance(value, list):
        return {"items": [_answered(item, shape.member) for item in value]}
    return value


def resources_of(event: Mapping[str, Any]) -> list[dict[str, str]]:
    """The resources a call names in its parameters or its reply, each once, in the order met."""
    ec2 = str(event["eventSource"]).startswith("ec2.")
    found: dict[tuple[str, str], None] = {}
    for part in ("requestParameters", "responseElements"):
        for name, value in _texts(event.get(part)):
            kind = _type(name, value, ec2)
            if kind is not None:
                found[kind, value] = None
    named = ((str(each["type"]), str(each["ARN"])) for each in event.get("resources") or ())
    return [{"ResourceType": kind, "ResourceName": value} for kind, value in dict.fromkeys((*found, *named))]


def _type(name: str, value: str, ec2: bool) -> str | None:
    if not ec2:
        return _NAMES.get(name)
    prefix, dash, rest = value.rpartition("-")
    return _BY_PREFIX.get(prefix + dash) if rest.isalnum() else None


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)
    elif isinstance(value, str):
        yield name, value
