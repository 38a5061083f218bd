"""Request rates as dated data: token buckets for each account, Region and action (INF-12).

EC2: Amazon EC2 Developer Guide, "Request throttling for the Amazon EC2 API" (read 2026-11): every action has a bucket of its
own, of the size of its category, and some that work on many instances a second one whose tokens are instances. STS: "IAM
and AWS STS quotas". CloudTrail: "Quotas in AWS CloudTrail". S3: "Best practices design patterns" (AWS counts by prefix).
CloudWatch and CloudWatch Logs: their quotas, single actions rounded to their kind. KMS: AWS KMS Developer Guide, "Request quotas"
(cryptographic operations share one there). The rates of IAM, Organizations and
Access Analyzer are not published: the figures are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Bucket(NamedTuple):
    """How many tokens a bucket holds, and how many come back each second."""

    capacity: float
    refill: float


READ, UNFILTERED, CHANGE, INTENSIVE = Bucket(100, 20), Bucket(50, 10), Bucket(50, 5), Bucket(50, 5)
#: what no operation here serves: one bucket for all of it
UNKNOWN = Bucket(100, 20)

#: EC2 actions with a smaller bucket when they are asked without a filter and without pagination
UNFILTERED_ACTIONS = frozenset({
    "DescribeInstances", "DescribeInstanceStatus", "DescribeNetworkInterfaces", "DescribeSecurityGroups",
    "DescribeSnapshots", "DescribeSpotInstanceRequests", "DescribeVolumes",
})  # fmt: skip
_INTENSIVE = (
    "AcceptVpcPeeringConnection AuthorizeSecurityGroupIngress CreateKeyPair CreateVpcPeeringConnection "
    "DeleteVpcPeeringConnection RejectVpcPeeringConnection RevokeSecurityGroupIngress"
)
#: (capacity, refill) -> the actions that AWS lists with it, of those that a VPC has to do with
_OWN: Mapping[tuple[float, float], str] = {
    INTENSIVE: _INTENSIVE,
    (100, 5): "AssignIpv6Addresses AssignPrivateIpAddresses AssociateIamInstanceProfile CreateLaunchTemplateVersion "
              "CreateNetworkInterface CreateSnapshot CreateVolume DeleteNetworkInterface DeleteSnapshot DeleteVolume "
              "DeregisterImage DisassociateIamInstanceProfile ModifyImageAttribute ModifyInstanceMetadataOptions "
              "ModifyLaunchTemplate ModifyNetworkInterfaceAttribute ModifySnapshotAttribute TerminateInstances "
              "UnassignPrivateIpAddresses",
    (100, 10): "CreateTags DeleteTags",
    (100, 1): "CopyImage",
    (20, 5): "DescribeSecurityGroupReferences DescribeStaleSecurityGroups",
    (10, 10): "DescribeAggregateIdFormat DescribeIdentityIdFormat DescribeIdFormat DescribePrincipalIdFormat",
    (10, 1): "AcceptVpcEndpointConnections AssignPrivateNatGatewayAddress AssociateNatGatewayAddress CreateNatGateway "
             "CreateVpcEndpointServiceConfiguration DeleteNatGateway DeleteVpcEndpointServiceConfigurations "
             "DisassociateNatGatewayAddress ModifyVpcEndpointServiceConfiguration RejectVpcEndpointConnections "
             "UnassignPrivateNatGatewayAddress",
    (5, 2): "AuthorizeClientVpnIngress CreateClientVpnRoute DeleteClientVpnRoute RevokeClientVpnIngress RunInstances "
            "StartInstances",
    (5, 1): "CreateSubnetCidrReservation DeleteSubnetCidrReservation",
    (4, 0.3): "CreateVpcEndpoint DeleteVpcEndpoints ModifyVpcEndpoint",
    (2, 2): "ModifyInstanceMetadataDefaults",
    (1, 1): "CreateDefaultSubnet CreateDefaultVpc DescribeInstanceTopology DescribeMovingAddresses MoveAddressToVpc "
            "RestoreAddressToClassic",
    (1, 0.1): "DisableImageBlockPublicAccess DisableSnapshotBlockPublicAccess EnableImageBlockPublicAccess "
              "EnableSnapshotBlockPublicAccess",
}  # fmt: skip
_EC2 = {name: Bucket(*sizes) for sizes, names in _OWN.items() for name in names.split()}
#: service -> the bucket of its actions that have none of their own; "read" and "change" by the verb
_OTHERS: Mapping[str, tuple[Bucket, Bucket]] = {
    "sts": (Bucket(600, 600), Bucket(600, 600)),
    "cloudtrail": (Bucket(10, 10), Bucket(10, 10)),
    "s3": (Bucket(5500, 5500), Bucket(3500, 3500)),
    "logs": (Bucket(25, 25), Bucket(10, 10)),
    "kms": (Bucket(1000, 1000), Bucket(15, 15)),
}
#: service and action -> a bucket of its own
_NAMED: Mapping[tuple[str, str], Bucket] = {
    ("cloudtrail", "LookupEvents"): Bucket(2, 2),
    ("logs", "PutLogEvents"): Bucket(5000, 5000), ("logs", "CreateLogStream"): Bucket(50, 50),
    **{("kms", name): Bucket(10_000, 10_000) for name in (
        "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateRandom", "ReEncrypt")},
    **{("kms", name): Bucket(5, 5) for name in (
        "CancelKeyDeletion", "CreateAlias", "CreateKey", "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation",
        "DeleteAlias", "RotateKeyOnDemand", "UntagResource", "UpdateAlias", "UpdateKeyDescription")},
    **{("kms", name): Bucket(50, 50) for name in ("CreateGrant", "RetireGrant", "RevokeGrant")},
    ("monitoring", "PutMetricData"): Bucket(500, 500), ("monitoring", "GetMetricData"): Bucket(500, 500),
}  # fmt: skip
#: EC2 actions whose second bucket holds instances
INSTANCES: Mapping[str, Bucket] = {
    "RunInstances": Bucket(1000, 2), "StartInstances": Bucket(1000, 2), "StopInstances": Bucket(1000, 20),
    "TerminateInstances": Bucket(1000, 20),
}  # fmt: skip


def bucket_of(service: str, action: str, *, unfiltered: bool = False) -> Bucket:
    """The bucket of an action."""
    if service == "ec2":
        if unfiltered and action in UNFILTERED_ACTIONS:
            return UNFILTERED
        if action in _EC2:
            return _EC2[action]
    named = _NAMED.get((service, action))
    if named is not None:
        return named
    read, change = _OTHERS.get(service, (READ, CHANGE))
    return read if action.startswith(("Describe", "List", "Search", "Get", "Head", "Lookup")) else change
