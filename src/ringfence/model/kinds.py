"""One row per kind of resource: its noun, id prefix, ARN type, error codes and indexes.

Adding a resource = its dataclass in `nouns/` and one `_kind(...)` here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ringfence.model.nouns.alarm import AlarmEvent, CompositeAlarm, MetricAlarm
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.nouns.gap import Gap
from ringfence.model.nouns.identity import (
    AccessKey,
    Group,
    IamAccount,
    IamEntity,
    InstanceProfile,
    ManagedPolicy,
    MfaDevice,
    OidcProvider,
    Role,
    SamlProvider,
    User,
)
from ringfence.model.nouns.instance import Image, Instance, KeyPair
from ringfence.model.nouns.kms import KmsAlias, KmsGrant, KmsKey, KmsMaterial
from ringfence.model.nouns.log import LogGroup, LogResourcePolicy, LogStream, MetricFilter
from ringfence.model.nouns.network import DhcpOptions, InternetGateway, RegionState, Subnet, SubnetCidrReservation, Vpc
from ringfence.model.nouns.network_acl import NetworkAcl
from ringfence.model.nouns.network_insights import (
    GUARD_TAG,
    AccessScope,
    AccessScopeAnalysis,
    NetworkInsightsAnalysis,
    NetworkInsightsPath,
)
from ringfence.model.nouns.network_interface import ElasticIp, NetworkInterface
from ringfence.model.nouns.organization import (
    Account,
    AccountRequest,
    Handshake,
    Organization,
    OrganizationalUnit,
    OrganizationPolicy,
)
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.nouns.prefix_list import PrefixList, PrefixListVersion
from ringfence.model.nouns.resource_share import ResourceShare, ShareInvitation
from ringfence.model.nouns.routing import RouteTable
from ringfence.model.nouns.security_group import GroupAssociation, SecurityGroup
from ringfence.model.nouns.trail import Bucket, DigestKey, Trail
from ringfence.model.nouns.vpc_endpoint import VpcEndpoint
from ringfence.model.row import Row

R = TypeVar("R", bound=Row)
Keys = Callable[[Any], Iterable[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[R]):
    """A kind of resource. `noun` is its tag resource type and ARN type; `indexes`: name -> keys of a row."""

    noun: str
    row: type[R]
    prefix: str
    not_found: str
    malformed: str
    indexes: Mapping[str, Keys] = field(default_factory=dict)
    service: str = "ec2"
    erased: bool = False  # rows are secrets: what is deleted leaves nothing in the journal or the database

    def arn(self, row: Row) -> str:
        """`arn:aws:ec2:region:account:type/id`; images have no account (IAM-23). IAM's: `arn:aws:iam::account:user/path/name`."""
        if isinstance(row, IamEntity):
            return f"arn:aws:iam::{row.owner_id}:{self.noun.removeprefix('iam-')}{row.path}{row.name}"
        if self.service == "ram":
            return f"arn:aws:ram:{row.region}:{row.owner_id}:{self.noun.removeprefix('ram-')}/{row.id}"
        if self.service == "s3":
            return f"arn:aws:s3:::{row.id}"
        if self.service == "kms":
            return row.id
        owner = (
            "" if self.noun == "image" else row.owner_id.lower()
        )  # AWS: its own lists are of "AWS", their ARNs of "aws"
        return f"arn:aws:ec2:{row.region}:{owner}:{self.noun}/{row.id}"


KINDS: dict[str, Kind[Any]] = {}


def _kind(noun: str, row: type[R], prefix: str, not_found: str, malformed: str, **indexes: Keys) -> Kind[R]:
    kind = Kind(noun, row, prefix, not_found, malformed, indexes)
    KINDS[noun] = kind
    return kind


def _iam(noun: str, row: type[R], prefix: str, **indexes: Keys) -> Kind[R]:
    """A kind of IAM's: nouns carry the service's name, so that they never meet EC2's resource types."""
    kind = Kind(f"iam-{noun}", row, prefix, "NoSuchEntity", "NoSuchEntity", indexes, "iam")
    KINDS[kind.noun] = kind
    return kind


def _maybe(value: str | None) -> tuple[str, ...]:
    return (value,) if value is not None else ()


REGION = _kind("region", RegionState, "", "InvalidParameterValue", "InvalidParameterValue")
VPC = _kind(
    "vpc",
    Vpc,
    "vpc-",
    "InvalidVpcID.NotFound",
    "InvalidVpcID.Malformed",
    default=lambda v: ("yes",) if v.is_default else (),
)
SUBNET = _kind(
    "subnet",
    Subnet,
    "subnet-",
    "InvalidSubnetID.NotFound",
    "InvalidSubnetID.Malformed",
    vpc=lambda s: (s.vpc_id,),
    acl=lambda s: (s.network_acl_id,),
)
SUBNET_CIDR_RESERVATION = _kind(
    "subnet-cidr-reservation",
    SubnetCidrReservation,
    "scr-",
    "InvalidSubnetCidrReservationID.NotFound",
    "InvalidSubnetCidrReservationID.NotFound",
    subnet=lambda r: (r.subnet_id,),
)
DHCP_OPTIONS = _kind(
    "dhcp-options", DhcpOptions, "dopt-", "InvalidDhcpOptionID.NotFound", "InvalidDhcpOptionsId.Malformed"
)
INTERNET_GATEWAY = _kind(
    "internet-gateway",
    InternetGateway,
    "igw-",
    "InvalidInternetGatewayID.NotFound",
    "InvalidInternetGatewayId.Malformed",
    vpc=lambda g: _maybe(g.vpc_id),
)
ROUTE_TABLE = _kind(
    "route-table",
    RouteTable,
    "rtb-",
    "InvalidRouteTableID.NotFound",
    "InvalidRouteTableId.Malformed",
    vpc=lambda t: (t.vpc_id,),
    number=lambda t: (f"{t.vpc_id}/{t.number}",),
    subnet=lambda t: tuple(a.subnet_id for a in t.associations if a.subnet_id),
    gateway=lambda t: tuple(a.gateway_id for a in t.associations if a.gateway_id),
    association=lambda t: tuple(a.id for a in t.associations),
    target=lambda t: tuple({r.target_id for r in (*t.routes, *t.listed) if r.target_id}),
    prefix_list=lambda t: tuple({r.prefix_list_id for r in t.listed}),
)
SECURITY_GROUP = _kind(
    "security-group",
    SecurityGroup,
    "sg-",
    "InvalidGroup.NotFound",
    "InvalidGroupId.Malformed",
    vpc=lambda g: (g.vpc_id,),
    name=lambda g: (f"{g.vpc_id}/{g.name.lower()}",),
    rule=lambda g: tuple(r.id for r in g.rules),
    references=lambda g: tuple({r.group.group_id for r in g.rules if r.group}),
    prefix_list=lambda g: tuple({r.prefix_list_id for r in g.rules if r.prefix_list_id}),
)
GROUP_ASSOCIATION = _kind(
    "security-group-vpc-association",
    GroupAssociation,
    "",
    "InvalidGroup.NotFound",
    "InvalidGroupId.Malformed",
    group=lambda a: (a.group_id,),
    vpc=lambda a: (a.vpc_id,),
)
PREFIX_LIST = _kind(
    "prefix-list",
    PrefixList,
    "pl-",
    "InvalidPrefixListID.NotFound",
    "InvalidPrefixListId.Malformed",
    name=lambda p: (f"{p.region}/{p.name}",),
)
PREFIX_LIST_VERSION = _kind(
    "prefix-list-version",
    PrefixListVersion,
    "",
    "InvalidPrefixListID.NotFound",
    "InvalidPrefixListId.Malformed",
    list=lambda v: (v.list_id,),
)
PEERING_CONNECTION = _kind(
    "vpc-peering-connection",
    PeeringConnection,
    "pcx-",
    "InvalidVpcPeeringConnectionID.NotFound",
    "InvalidVpcPeeringConnectionId.Malformed",
    vpc=lambda p: (p.requester.vpc_id, p.accepter.vpc_id),
    side=lambda p: tuple({f"{side.owner_id}/{side.region}" for side in (p.requester, p.accepter)}),
)
VPC_ENDPOINT = _kind(
    "vpc-endpoint",
    VpcEndpoint,
    "vpce-",
    "InvalidVpcEndpointId.NotFound",
    "InvalidVpcEndpointId.Malformed",
    vpc=lambda e: (e.vpc_id,),
    route_table=lambda e: e.route_table_ids,
)
NETWORK_ACL = _kind(
    "network-acl",
    NetworkAcl,
    "acl-",
    "InvalidNetworkAclID.NotFound",
    "InvalidNetworkAclId.Malformed",
    vpc=lambda a: (a.vpc_id,),
)
NETWORK_INTERFACE = _kind(
    "network-interface",
    NetworkInterface,
    "eni-",
    "InvalidNetworkInterfaceID.NotFound",
    "InvalidNetworkInterfaceId.Malformed",
    vpc=lambda e: (e.vpc_id,),
    number=lambda e: (f"{e.vpc_id}/{e.number}",),
    subnet=lambda e: (e.subnet_id,),
    group=lambda e: e.groups,
    instance=lambda e: _maybe(e.attachment.instance_id if e.attachment else None),
    attachment=lambda e: _maybe(e.attachment.id if e.attachment else None),
    address=lambda e: tuple(f"{e.vpc_id}/{a}" for a in (*e.addresses, *e.ipv6)),
    public=lambda e: _maybe(str(e.auto_public_ip) if e.auto_public_ip else None),
)
ELASTIC_IP = _kind(
    "elastic-ip",
    ElasticIp,
    "eipalloc-",
    "InvalidAllocationID.NotFound",
    "InvalidAllocationID.NotFound",
    interface=lambda a: _maybe(a.network_interface_id),
    public=lambda a: (str(a.public_ip),),
    association=lambda a: _maybe(a.association_id),
)
INSTANCE = _kind(
    "instance",
    Instance,
    "i-",
    "InvalidInstanceID.NotFound",
    "InvalidInstanceID.Malformed",
    subnet=lambda i: (i.subnet_id,),
    vpc=lambda i: (i.vpc_id,),
    reservation=lambda i: (i.reservation_id,),
    image=lambda i: (i.image_id,),
)
IMAGE = _kind("image", Image, "ami-", "InvalidAMIID.NotFound", "InvalidAMIID.Malformed")
KEY_PAIR = _kind(
    "key-pair", KeyPair, "key-", "InvalidKeyPair.NotFound", "InvalidKeyPair.NotFound", name=lambda k: (k.name,)
)
FLOW_LOG = _kind(
    "vpc-flow-log",
    FlowLog,
    "fl-",
    "InvalidFlowLogId.NotFound",
    "InvalidFlowLogId.NotFound",
    resource=lambda f: (f.resource_id,),
)
NETWORK_INSIGHTS_PATH = _kind(
    "network-insights-path",
    NetworkInsightsPath,
    "nip-",
    "InvalidNetworkInsightsPathId.NotFound",
    "InvalidNetworkInsightsPathId.Malformed",
)
NETWORK_INSIGHTS_ANALYSIS = _kind(
    "network-insights-analysis",
    NetworkInsightsAnalysis,
    "nia-",
    "InvalidNetworkInsightsAnalysisId.NotFound",
    "InvalidNetworkInsightsAnalysisId.Malformed",
    path=lambda a: (a.path_id,),
)
ACCESS_SCOPE = _kind(
    "network-insights-access-scope",
    AccessScope,
    "nis-",
    "InvalidNetworkInsightsAccessScopeId.NotFound",
    "InvalidNetworkInsightsAccessScopeId.Malformed",
    guard=lambda s: ("yes",) if s.tag(GUARD_TAG) is not None else (),
)
ACCESS_SCOPE_ANALYSIS = _kind(
    "network-insights-access-scope-analysis",
    AccessScopeAnalysis,
    "nisa-",
    "InvalidNetworkInsightsAccessScopeAnalysisId.NotFound",
    "InvalidNetworkInsightsAccessScopeAnalysisId.Malformed",
    scope=lambda a: (a.scope_id,),
)


# ---------------------------------------------------------------------- IAM
def _named(entity: IamEntity) -> tuple[str, ...]:
    return (f"{entity.owner_id}/{entity.name.lower()}",)


USER = _iam(
    "user", User, "AIDA", name=_named, group=lambda u: u.groups, policy=lambda u: u.managed,
    boundary=lambda u: _maybe(u.boundary),
)  # fmt: skip
GROUP = _iam("group", Group, "AGPA", name=_named, policy=lambda g: g.managed)
ROLE = _iam(
    "role", Role, "AROA", name=_named, policy=lambda r: r.managed, boundary=lambda r: _maybe(r.boundary)
)  # fmt: skip
MANAGED_POLICY = _iam("policy", ManagedPolicy, "ANPA", name=_named)
INSTANCE_PROFILE = _iam("instance-profile", InstanceProfile, "AIPA", name=_named, role=lambda p: _maybe(p.role))
ACCESS_KEY = _iam("access-key", AccessKey, "AKIA", user=lambda k: _maybe(k.user_id))
MFA_DEVICE = _iam("mfa-device", MfaDevice, "arn:", user=lambda d: _maybe(d.user_id))
OIDC_PROVIDER = _iam("oidc-provider", OidcProvider, "arn:")
SAML_PROVIDER = _iam("saml-provider", SamlProvider, "arn:")
IAM_ACCOUNT = _iam("account", IamAccount, "")


# ---------------------------------------------------------------------- CloudTrail, and the buckets logs go to
def _own(noun: str, row: type[R], service: str, not_found: str, *, erased: bool = False, **indexes: Keys) -> Kind[R]:
    """A kind whose ids are names or ARNs of their own."""
    kind = Kind(noun, row, "", not_found, not_found, indexes, service, erased)
    KINDS[noun] = kind
    return kind


BUCKET = _own("s3-bucket", Bucket, "s3", "NoSuchBucket", account=lambda b: (b.owner_id,))
TRAIL = _own(
    "cloudtrail-trail", Trail, "cloudtrail", "TrailNotFoundException", bucket=lambda t: (t.bucket,),
    account=lambda t: (t.owner_id,),
)  # fmt: skip
DIGEST_KEY = _own("cloudtrail-digest-key", DigestKey, "cloudtrail", "ResourceNotFoundException")


# ---------------------------------------------------------------------- AWS KMS
KMS_KEY = _own("kms-key", KmsKey, "kms", "NotFoundException", uuid=lambda k: (k.uuid,))
KMS_MATERIAL = _own("kms-material", KmsMaterial, "kms", "NotFoundException", erased=True, key=lambda m: (m.key,))
KMS_ALIAS = _own("kms-alias", KmsAlias, "kms", "NotFoundException", key=lambda a: (a.key,))
KMS_GRANT = _own(
    "kms-grant", KmsGrant, "kms", "NotFoundException", key=lambda g: (g.key,),
    retiring=lambda g: (*_maybe(g.retiring), *_maybe(g.retiring_service)),
)  # fmt: skip


# ---------------------------------------------------------------------- imported networks
GAP = _own("import-gap", Gap, "ringfence", "InvalidParameterValue", vpc=lambda g: (g.vpc_id,))


# ---------------------------------------------------------------------- CloudWatch Logs
LOG_GROUP = _own("logs-log-group", LogGroup, "logs", "ResourceNotFoundException")
LOG_STREAM = _own(
    "logs-log-stream", LogStream, "logs", "ResourceNotFoundException", group=lambda s: (s.group,),
    number=lambda s: (str(s.number),),
)  # fmt: skip
METRIC_FILTER = _own(
    "logs-metric-filter", MetricFilter, "logs", "ResourceNotFoundException", group=lambda f: (f.group,)
)  # fmt: skip
LOG_RESOURCE_POLICY = _own("logs-resource-policy", LogResourcePolicy, "logs", "ResourceNotFoundException")


# ---------------------------------------------------------------------- CloudWatch
METRIC_ALARM = _own("cloudwatch-alarm", MetricAlarm, "cloudwatch", "ResourceNotFound")
COMPOSITE_ALARM = _own("cloudwatch-composite-alarm", CompositeAlarm, "cloudwatch", "ResourceNotFound")
ALARM_EVENT = _own(
    "cloudwatch-alarm-event", AlarmEvent, "cloudwatch", "ResourceNotFound", alarm=lambda event: (event.alarm,)
)  # fmt: skip


# ---------------------------------------------------------------------- AWS RAM
RESOURCE_SHARE = _own(
    "ram-resource-share", ResourceShare, "ram", "UnknownResourceException",
    resource=lambda s: tuple({resource.key for resource in s.resources}),
    principal=lambda s: tuple({principal.key for principal in s.principals}),
)  # fmt: skip
SHARE_INVITATION = _own(
    "ram-resource-share-invitation", ShareInvitation, "ram", "ResourceShareInvitationArnNotFoundException",
    share=lambda i: (i.share_id,), receiver=lambda i: (i.receiver,),
)  # fmt: skip


# ---------------------------------------------------------------------- Organizations
def _organizations(noun: str, row: type[R], prefix: str, not_found: str, **indexes: Keys) -> Kind[R]:
    """A kind of Organizations': its ARNs have the organization in them, so that they are made by its operations."""
    kind = Kind(f"organizations-{noun}", row, prefix, not_found, not_found, indexes, "organizations")
    KINDS[kind.noun] = kind
    return kind


ACCOUNT = _organizations(
    "account", Account, "", "AccountNotFoundException", organization=lambda a: _maybe(a.organization),
    parent=lambda a: _maybe(a.parent), email=lambda a: (a.email.lower(),), policy=lambda a: a.policies,
)  # fmt: skip
ORGANIZATION = _organizations(
    "organization", Organization, "o-", "AWSOrganizationsNotInUseException", policy=lambda o: o.policies
)
UNIT = _organizations(
    "unit", OrganizationalUnit, "ou-", "OrganizationalUnitNotFoundException", organization=lambda u: (u.organization,),
    parent=lambda u: (u.parent,), policy=lambda u: u.policies,
)  # fmt: skip
ORGANIZATION_POLICY = _organizations(
    "policy", OrganizationPolicy, "p-", "PolicyNotFoundException", organization=lambda p: (p.organization,)
)
ACCOUNT_REQUEST = _organizations(
    "account-request", AccountRequest, "car-", "CreateAccountStatusNotFoundException",
    organization=lambda r: (r.organization,),
)  # fmt: skip
HANDSHAKE = _organizations(
    "handshake", Handshake, "h-", "HandshakeNotFoundException", organization=lambda h: (h.organization,),
    target=lambda h: (h.target.lower(),),
)  # fmt: skip
