"""EC2's resources as policies see them: their ARN and the condition keys each has (Service Authorization Reference,
"Amazon EC2"; IAM-23, IAM-30, IAM-31)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ringfence.api.authorise.ask import Values, tag_keys, truth
from ringfence.api.ops.context import Call
from ringfence.api.ops.ec2.peering_views import tags_of
from ringfence.api.ops.ec2.security_group_rules import RULE_NOUN, find_rule
from ringfence.identity.actions import Keys
from ringfence.identity.question import Target
from ringfence.model.accounts import find_for
from ringfence.model.errors import ApiError
from ringfence.model.kinds import KEY_PAIR, KINDS
from ringfence.model.nouns.instance import Image, Instance, KeyPair
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.network_interface import ElasticIp, NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.nouns.vpc_endpoint import VpcEndpoint
from ringfence.model.regions import REGIONS
from ringfence.model.world import World

#: what does not exist yet, or cannot be told
ANY = "*"
#: resource type -> the key that holds its id
ID_KEYS: Mapping[str, str] = {
    "vpc": "ec2:vpcid", "subnet": "ec2:subnetid", "security-group": "ec2:securitygroupid",
    "network-acl": "ec2:networkaclid", "route-table": "ec2:routetableid", "internet-gateway": "ec2:internetgatewayid",
    "network-interface": "ec2:networkinterfaceid", "vpc-peering-connection": "ec2:vpcpeeringconnectionid",
    "instance": "ec2:instanceid", "image": "ec2:imageid", "dhcp-options": "ec2:dhcpoptionsid",
    "elastic-ip": "ec2:allocationid", "volume": "ec2:volumeid", "snapshot": "ec2:snapshotid",
    "key-pair": "ec2:keypairname", "transit-gateway": "ec2:transitgatewayid",
}  # fmt: skip


def arn(call: Call, type: str, id: str, owner: str | None = None) -> str:
    """`arn:aws:ec2:region:account:type/id`; images have no account (IAM-23)."""
    account = "" if type == "image" else (owner or call.account_id).lower()  # AWS: what is of "AWS" is of "aws" in ARNs
    return f"arn:aws:ec2:{call.region}:{account}:{type}/{id}"


def find(call: Call, world: World, type: str, id: str) -> Any | None:
    """The row, if the caller may know of it: of its own account and Region, shared with it, or public. None otherwise (IAM-37)."""
    if type == RULE_NOUN:
        try:
            return find_rule(call, world, id)
        except ApiError:
            return None
    kind = KINDS.get(type)
    if kind is None:
        return None
    if type == KEY_PAIR.noun and not id.startswith(KEY_PAIR.prefix):
        named = [pair for pair in world.by(KEY_PAIR, "name", id) if _visible(call, pair)]
        return named[0] if named else None
    held = find_for(world, kind, id, call.account_id, call.region)
    if held is not None:
        return held
    row = world.find(kind, id)
    if isinstance(row, PeeringConnection):
        return row if call.account_id in (row.requester.owner_id, row.accepter.owner_id) else None
    return row if row is not None and _visible(call, row) else None


def _visible(call: Call, row: Any) -> bool:
    return row.region == call.region and (row.owner_id == call.account_id or bool(getattr(row, "public", False)))


def target(call: Call, world: World, type: str, id: str, keys: Keys, extra: Values | None = None) -> Target:
    """A resource that a request names. Keys it does not have in this action are left out.

    `account_id` is the caller's: EC2's resources have no policies of their own, and the existence check follows.
    """
    row = find(call, world, type, id) if id != ANY else None
    held = known(call, type, id, row) | (extra or {})
    named = row.name if isinstance(row, KeyPair) else id  # AWS: a key pair's ARN has its name
    # AWS: each side of a peering connection has an ARN of its own account for it
    owner = None if isinstance(row, PeeringConnection) else getattr(row, "owner_id", None)
    return Target(
        arn=arn(call, type, named, owner), account_id=call.account_id,
        context={key: value for key, value in held.items() if key in keys},
    )  # fmt: skip


def known(call: Call, type: str, id: str, row: Any | None) -> Values:
    """Every key of a resource that can be told; the id of one that does not exist yet is `*` (IAM-31)."""
    held: Values = {}
    if type in ID_KEYS:
        held[ID_KEYS[type]] = id
    if row is None:
        return held
    tags = tags_of(call, row) if isinstance(row, PeeringConnection) else row.tags
    held |= tag_keys(("aws:resourcetag", "ec2:resourcetag"), tags)
    held |= placed(call, row)
    own = _OWN.get(row.__class__)
    return held | own(call, row) if own is not None else held


def placed(call: Call, row: Any) -> Values:
    """Where a resource is."""
    held: Values = {}
    vpc_id, subnet_id = getattr(row, "vpc_id", None), getattr(row, "subnet_id", None)
    zone = getattr(row, "availability_zone", None)
    if vpc_id:
        held["ec2:vpc"] = arn(call, "vpc", vpc_id, row.owner_id)
    if subnet_id:
        held["ec2:subnet"] = arn(call, "subnet", subnet_id, row.owner_id)
    if zone:
        found = REGIONS[call.region].zone(zone)
        held["ec2:availabilityzone"] = zone
        if found is not None:
            held["ec2:availabilityzoneid"] = found.id
    return held


def _vpc(_call: Call, row: Vpc) -> Values:
    return {"ec2:tenancy": row.tenancy}


def _interface(_call: Call, row: NetworkInterface) -> Values:
    return {"ec2:associatepublicipaddress": truth(row.associate_public_ip)}


def _address(_call: Call, row: ElasticIp) -> Values:
    return {"ec2:domain": "vpc", "ec2:publicipaddress": str(row.public_ip)}


def _instance(_call: Call, row: Instance) -> Values:
    options = row.metadata_options
    held: Values = {
        "ec2:instancetype": row.instance_type, "ec2:tenancy": row.tenancy, "ec2:ebsoptimized": truth(row.ebs_optimized),
        "ec2:rootdevicetype": "ebs", "ec2:metadatahttptokens": options.http_tokens,
        "ec2:metadatahttpendpoint": options.http_endpoint, "ec2:metadatahttpputresponsehoplimit": str(options.hop_limit),
        "ec2:instancemetadatatags": options.instance_metadata_tags,
    }  # fmt: skip
    return held | ({"ec2:instanceprofile": row.iam_instance_profile} if row.iam_instance_profile else {})


def _image(_call: Call, row: Image) -> Values:
    return {"ec2:owner": row.owner_alias or row.owner_id, "ec2:public": truth(row.public), "ec2:imagetype": "machine",
            "ec2:rootdevicetype": "ebs"}  # fmt: skip


def _peering(_call: Call, row: PeeringConnection) -> Values:
    return {
        f"ec2:{name}vpc": f"arn:aws:ec2:{side.region}:{side.owner_id}:vpc/{side.vpc_id}"
        for name, side in (("requester", row.requester), ("accepter", row.accepter))
    }


def _key_pair(_call: Call, row: KeyPair) -> Values:
    return {"ec2:keypairname": row.name, "ec2:keypairtype": row.key_type}


def _endpoint(_call: Call, row: VpcEndpoint) -> Values:
    return {"ec2:vpceservicename": row.service_name, "ec2:vpceserviceowner": "amazon",
            "ec2:vpceserviceregion": row.region, "ec2:vpcemultiregion": "false"}  # fmt: skip


_OWN: Mapping[type, Callable[[Call, Any], Values]] = {
    Vpc: _vpc, NetworkInterface: _interface, ElasticIp: _address, Instance: _instance, Image: _image, KeyPair: _key_pair,
    VpcEndpoint: _endpoint,
    PeeringConnection: _peering,
}  # fmt: skip
