"""Security groups: create, delete, describe (Amazon VPC User Guide: "Security groups"; spec SG-01..SG-32)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ringfence.api.ops.context import Call, Filled, Memo, Outcome, Params
from ringfence.api.ops.describe import Found, Values, apply_filters, page, select
from ringfence.api.ops.ec2.permissions import open_egress, permission_forms, permission_list
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import GROUP_ASSOCIATION, NETWORK_INTERFACE, PEERING_CONNECTION, SECURITY_GROUP, VPC
from ringfence.model.net import protocol_name
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule
from ringfence.model.world import World, delete, put
from ringfence.policy.compile.peering import is_stale

_TEXT = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]+")  # SG-05
_ALLOWED = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"


def _text(label: str, value: str) -> str:
    """A name or description of 1-255 allowed characters; ApiError otherwise (SG-04, SG-05)."""
    if not 1 <= len(value) <= 255:
        raise fault(
            "InvalidParameterValue",
            message=f"Invalid security group {label}. Valid {label}s are strings of 1 to 255 characters.",
        )
    if not _TEXT.fullmatch(value):
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({value}) for parameter Group{label.title()} is invalid. Character sets beyond "
            f"'{_ALLOWED}' are not supported.",
        )
    return value


def _name(value: str) -> str:
    name = _text("name", value.rstrip(" ")) if value.strip(" ") else _text("name", "")
    if name.lower().startswith("sg-"):  # SG-07
        raise fault(
            "InvalidParameterValue",
            message=f"invalid value for parameter groupName: {name}. Group names may not be in the format sg-*",
        )
    if name.lower() == "default":  # SG-08
        raise fault("InvalidGroup.Reserved", message="Cannot use reserved security group name: default")
    return name


def default_vpc(call: Call, world: World) -> Vpc | None:
    """The caller's default VPC of the Region, if it still has one."""
    return next((vpc for vpc in world.by(VPC, "default", "yes") if _is_mine(call, vpc)), None)


def _is_mine(call: Call, row: Any) -> bool:
    return bool(row.owner_id == call.account_id and row.region == call.region)


@operation("ec2:CreateSecurityGroup")
def create_security_group(call: Call, world: World, params: Params) -> Outcome:
    """SG-01..SG-10, SG-23."""
    name, description = _name(params["GroupName"]), _text("description", params["Description"])
    if params.get("VpcId"):
        vpc = call.get(world, VPC, params["VpcId"])
    else:
        vpc = default_vpc(call, world) or _no_default_vpc()
    if world.by(SECURITY_GROUP, "name", f"{vpc.id}/{name.lower()}"):
        raise fault("InvalidGroup.Duplicate", name=name, vpc=vpc.id)
    call.check_quota("security-groups", world.count_owned(SECURITY_GROUP, call.account_id, call.region) + 1)
    group = SecurityGroup(
        id=call.ids.new("sg-"),
        **call.owned(),
        tags=tags_on_create(call, params, SECURITY_GROUP),
        vpc_id=vpc.id,
        name=name,
        description=description,
        rules=open_egress(call, vpc),
    )
    reply: dict[str, Any] = {"GroupId": group.id, "SecurityGroupArn": SECURITY_GROUP.arn(group)}
    if group.tags:
        reply["Tags"] = tag_list(group.tags)
    return Outcome(reply, put(SECURITY_GROUP, group))


def _no_default_vpc() -> Vpc:
    raise fault("VPCIdNotSpecified")


def named_group(call: Call, world: World, params: Params) -> SecurityGroup:
    """The group that GroupId, or GroupName in the default VPC, names. ApiError when none or both do not fit."""
    if params.get("GroupId"):
        return call.get(world, SECURITY_GROUP, params["GroupId"])
    name = params.get("GroupName")
    if not name:
        raise fault("MissingParameter", message="The request must contain the parameter GroupName or GroupId")
    vpc = default_vpc(call, world)
    found = world.by(SECURITY_GROUP, "name", f"{vpc.id}/{name.lower()}") if vpc else []
    if not found:
        where = f" in default VPC '{vpc.id}'" if vpc else ""
        raise fault("InvalidGroup.NotFound", message=f"The security group '{name}' does not exist{where}")
    return found[0]


@operation("ec2:DeleteSecurityGroup")
def delete_security_group(call: Call, world: World, params: Params) -> Outcome:
    """SG-15..SG-20. A group that names this one from another VPC without a peering connection also keeps it (SG-70)."""
    group = named_group(call, world, params)
    if group.is_default:
        raise fault("CannotDelete", id=group.id)
    referring = [g for g in world.by(SECURITY_GROUP, "references", group.id) if g.id != group.id]
    peer = [r.group for g in referring for r in g.rules if r.group and r.group.group_id == group.id]
    same_vpc = any(reference.peering_connection_id is None for reference in peer)
    used = world.count(NETWORK_INTERFACE, "group", group.id) or world.count(GROUP_ASSOCIATION, "group", group.id)
    if same_vpc or used:
        raise fault("DependencyViolation", message=f"resource {group.id} has a dependent object")
    return Outcome({"Return": True, "GroupId": group.id}, delete(SECURITY_GROUP, group.id))


# ---------------------------------------------------------------------- describe
def _shown(world: World, group: SecurityGroup) -> Params | Memo:
    """`_view`; with the state of the connections it refers over, which is not the row's and so not remembered with it."""
    if not any(rule.group is not None and rule.group.peering_connection_id for rule in group.rules):
        return Memo(group, "group", lambda: _view(group))
    return _with_states(world, _view(group), ("IpPermissions", "IpPermissionsEgress"))


def _with_states(world: World, shown: Params, members: Iterable[str]) -> Params:
    return {
        **shown,
        **{name: [_with_state(world, plain_permission(each)) for each in shown[name]] for name in members},
    }


def _with_state(world: World, permission: Params) -> Params:
    return {**permission, "UserIdGroupPairs": [_pair_state(world, pair) for pair in permission["UserIdGroupPairs"]]}


def _pair_state(world: World, pair: Params) -> Params:
    id = pair.get("VpcPeeringConnectionId")
    if id is None:
        return pair
    found = world.find(PEERING_CONNECTION, id)
    return {**pair, "PeeringStatus": (found.status if found is not None else PeeringStatus.DELETED).value}


def plain_permission(shown: Params | Filled) -> Params:
    return shown.fill() if isinstance(shown, Filled) else shown


def _view(group: SecurityGroup) -> Params:
    out: dict[str, Any] = {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": group.owner_id,
        "VpcId": group.vpc_id,
        "SecurityGroupArn": SECURITY_GROUP.arn(group),
        "IpPermissions": permission_forms(group.ingress_rules),
        "IpPermissionsEgress": permission_forms(group.egress_rules),
    }
    if group.tags:
        out["Tags"] = tag_list(group.tags)
    return out


def _of_rules(egress: bool, value: Callable[[World, SecurityGroupRule], Any]) -> Values:
    def values(world: World, group: SecurityGroup) -> Iterable[Any]:
        return (value(world, rule) for rule in group.rules if rule.egress is egress)

    return values


def _referenced_name(world: World, rule: SecurityGroupRule) -> str | None:
    group = world.find(SECURITY_GROUP, rule.group.group_id) if rule.group else None
    return group.name if group else None


def _cidr(version: int) -> Callable[[World, SecurityGroupRule], str | None]:
    return lambda _, rule: str(rule.cidr) if rule.cidr is not None and rule.cidr.version == version else None


_PERMISSION_FILTERS: dict[str, Callable[[World, SecurityGroupRule], Any]] = {
    "cidr": _cidr(4),
    "ipv6-cidr": _cidr(6),
    "from-port": lambda _, rule: rule.from_port,
    "to-port": lambda _, rule: rule.to_port,
    "protocol": lambda _, rule: protocol_name(rule.protocol),
    "prefix-list-id": lambda _, rule: rule.prefix_list_id,
    "group-id": lambda _, rule: rule.group.group_id if rule.group else None,
    "group-name": _referenced_name,
    "user-id": lambda _, rule: rule.group.owner_id if rule.group else None,
}

FILTERS: dict[str, Values] = {
    "description": lambda _, group: (group.description,),
    "group-id": lambda _, group: (group.id,),
    "group-name": lambda _, group: (group.name,),
    "owner-id": lambda _, group: (group.owner_id,),
    "vpc-id": lambda _, group: (group.vpc_id,),
    **{f"ip-permission.{name}": _of_rules(False, value) for name, value in _PERMISSION_FILTERS.items()},
    **{f"egress.ip-permission.{name}": _of_rules(True, value) for name, value in _PERMISSION_FILTERS.items()},
}


def _of_name(call: Call, world: World, name: str) -> list[SecurityGroup] | None:
    """The caller's groups of that very name, found in each of its VPCs; None for several: their order is not known."""
    places = (f"{vpc.id}/{name.lower()}" for vpc in call.mine(world, VPC))
    found = [group for place in places for group in world.by(SECURITY_GROUP, "name", place)]
    return None if len(found) > 1 else [group for group in found if group.name == name and _is_mine(call, group)]


_INDEXED: dict[str, str | Found] = {"vpc-id": "vpc", "group-name": _of_name}


@operation("ec2:DescribeSecurityGroups")
def describe_security_groups(call: Call, world: World, params: Params) -> Outcome:
    """SG-22. GroupNames names groups of the default VPC only, as AWS documents."""
    if params.get("MaxResults") is not None and (params.get("GroupIds") or params.get("GroupNames")):
        raise fault(
            "InvalidParameterCombination",
            message="The parameter MaxResults cannot be used with GroupIds or GroupNames",
        )
    if params.get("GroupNames"):
        named = [named_group(call, world, {"GroupName": name}) for name in params["GroupNames"]]
        by_id = [call.get(world, SECURITY_GROUP, id) for id in params.get("GroupIds") or ()]
        both = list({group.id: group for group in (*by_id, *named)}.values())
        rows = apply_filters(world, both, params.get("Filters") or (), FILTERS)
    else:
        rows = select(call, world, SECURITY_GROUP, params, ids="GroupIds", filters=FILTERS, indexed=_INDEXED)
    shown, token = page(rows, params)
    return _reply("SecurityGroups", [_shown(world, group) for group in shown], token)


def _reply(member: str, items: Sequence[Any], token: str | None) -> Outcome:
    return Outcome({member: items} | ({"NextToken": token} if token else {}))


@operation("ec2:GetSecurityGroupsForVpc")
def get_security_groups_for_vpc(call: Call, world: World, params: Params) -> Outcome:
    """Groups that can be attached in the VPC (SG-72)."""
    vpc = call.get(world, VPC, params["VpcId"])
    known: dict[str, Values] = {
        "group-id": FILTERS["group-id"],
        "group-name": FILTERS["group-name"],
        "description": FILTERS["description"],
        "owner-id": FILTERS["owner-id"],
        "primary-vpc-id": FILTERS["vpc-id"],
    }
    associated = [world.get(SECURITY_GROUP, row.group_id) for row in world.by(GROUP_ASSOCIATION, "vpc", vpc.id)]
    here = [*world.by(SECURITY_GROUP, "vpc", vpc.id), *associated]
    rows = apply_filters(world, here, params.get("Filters") or (), known)
    shown, token = page(rows, params)
    return _reply("SecurityGroupForVpcs", [_for_vpc(group) for group in shown], token)


def _for_vpc(group: SecurityGroup) -> Params:
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": group.owner_id,
        "PrimaryVpcId": group.vpc_id,
        "Tags": tag_list(group.tags),
    }


@operation("ec2:DescribeSecurityGroupReferences")
def describe_security_group_references(call: Call, world: World, params: Params) -> Outcome:
    """Who refers to these groups from the other side of a peering connection (SG-86); same-VPC rules do not count."""
    found: list[Params] = []
    for id in params["GroupId"]:
        group = call.get(world, SECURITY_GROUP, id)
        found.extend(_peer_references(world, group))
    return Outcome({"SecurityGroupReferenceSet": found})


def _peer_references(world: World, group: SecurityGroup) -> Iterator[Params]:
    for other in world.by(SECURITY_GROUP, "references", group.id):
        if other.vpc_id == group.vpc_id:
            continue
        for rule in other.rules:
            if rule.group and rule.group.group_id == group.id and rule.group.peering_connection_id:
                yield {
                    "GroupId": group.id,
                    "ReferencingVpcId": other.vpc_id,
                    "VpcPeeringConnectionId": rule.group.peering_connection_id,
                }


@operation("ec2:DescribeStaleSecurityGroups")
def describe_stale_security_groups(call: Call, world: World, params: Params) -> Outcome:
    """Groups with rules whose referenced peer group is gone, or no longer a peer's (SG-82..SG-84)."""
    vpc = call.get(world, VPC, params["VpcId"])
    stale = [
        group
        for group in world.by(SECURITY_GROUP, "vpc", vpc.id)
        if any(is_stale(world, group, r) for r in group.rules)
    ]
    shown, token = page(stale, params)
    return _reply("StaleSecurityGroupSet", [_stale_view(world, group) for group in shown], token)


def _stale_view(world: World, group: SecurityGroup) -> Params:
    def permissions(egress: bool) -> list[dict[str, Any]]:
        rules = [rule for rule in group.rules if rule.egress is egress and is_stale(world, group, rule)]
        shown = permission_list(rules)
        for permission in shown:
            permission.pop("Ipv6Ranges")
            for pair in permission["UserIdGroupPairs"]:
                pair["PeeringStatus"] = "deleted"
        return shown

    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "VpcId": group.vpc_id,
        "StaleIpPermissions": permissions(False),
        "StaleIpPermissionsEgress": permissions(True),
    }
