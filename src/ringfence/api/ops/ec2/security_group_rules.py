"""The rules of security groups: authorize, revoke, modify, describe (spec SG-33..SG-58)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any

from ringfence.api.ops.context import Call, Filled, Form, Memo, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.permissions import (
    PermissionParser,
    duplicate,
    new_rule,
    parse_cidr,
    parse_description,
    parse_service,
    permission_list,
)
from ringfence.api.ops.ec2.prefix_list_references import check_rule_references, rule_counts
from ringfence.api.ops.ec2.security_groups import named_group
from ringfence.api.ops.registry import operation, register
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import well_formed
from ringfence.model.kinds import SECURITY_GROUP, VPC
from ringfence.model.net import network_text, protocol_name
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule
from ringfence.model.world import World, put

RULE_NOUN = "security-group-rule"


@dataclass(frozen=True, slots=True)
class GroupRule:
    """A rule with the group it belongs to: what DescribeSecurityGroupRules lists."""

    group: SecurityGroup
    rule: SecurityGroupRule

    @property
    def id(self) -> str:
        return self.rule.id

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        return self.rule.tags

    def tag(self, key: str) -> str | None:
        return next((value for name, value in self.rule.tags if name == key), None)


def rule_arn(group: SecurityGroup, rule: SecurityGroupRule) -> str:
    return f"arn:aws:ec2:{group.region}:{group.owner_id}:{RULE_NOUN}/{rule.id}"


def find_rule(call: Call, world: World, id: str) -> GroupRule:
    """The caller's rule of that id. ApiError InvalidSecurityGroupRuleId.NotFound or .Malformed (SG-49)."""
    for group in world.by(SECURITY_GROUP, "rule", id):
        if group.owner_id == call.account_id and group.region == call.region:
            return GroupRule(group, next(rule for rule in group.rules if rule.id == id))
    missing = "NotFound" if well_formed("sgr-", id) else "Malformed"
    raise fault(f"InvalidSecurityGroupRuleId.{missing}", id=id)


def _plain_rule(egress: bool) -> Form:
    return Form(
        8,
        lambda id, group, owner, protocol, first, last, arn, cidr: {
            "SecurityGroupRuleId": id, "GroupId": group, "GroupOwnerId": owner, "IsEgress": egress,
            "IpProtocol": protocol, "FromPort": first, "ToPort": last, "Tags": [], "SecurityGroupRuleArn": arn,
            "CidrIpv4": cidr,
        },
    )  # fmt: skip


_PLAIN_RULES = {egress: _plain_rule(egress) for egress in (False, True)}


def _shown(group: SecurityGroup, rule: SecurityGroupRule) -> Params | Filled:
    """`_view`, to be shown only: the commonest rule, of one IPv4 block alone, as a form."""
    cidr = rule.cidr
    if type(cidr) is not IPv4Network or rule.description is not None or rule.tags:
        return _view(group, rule)
    name = protocol_name(rule.protocol)
    values = (
        rule.id, group.id, group.owner_id, name, rule.from_port, rule.to_port, rule_arn(group, rule), network_text(cidr)
    )  # fmt: skip
    return Filled(_PLAIN_RULES[rule.egress], values)


def _view(group: SecurityGroup, rule: SecurityGroupRule) -> dict[str, Any]:
    out: dict[str, Any] = {
        "SecurityGroupRuleId": rule.id,
        "GroupId": group.id,
        "GroupOwnerId": group.owner_id,
        "IsEgress": rule.egress,
        "IpProtocol": protocol_name(rule.protocol),
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        "Tags": tag_list(rule.tags),
        "SecurityGroupRuleArn": rule_arn(group, rule),
    }
    if rule.cidr is not None:
        out["CidrIpv4" if rule.cidr.version == 4 else "CidrIpv6"] = network_text(rule.cidr)
    if rule.prefix_list_id is not None:
        out["PrefixListId"] = rule.prefix_list_id
    if rule.group is not None:
        out["ReferencedGroupInfo"] = {"GroupId": rule.group.group_id, "UserId": rule.group.owner_id}
        if rule.group.peering_connection_id:
            out["ReferencedGroupInfo"]["VpcPeeringConnectionId"] = rule.group.peering_connection_id
    if rule.description is not None:
        out["Description"] = rule.description
    return out


# ---------------------------------------------------------------------- changing a group's rules
def with_rules(group: SecurityGroup, rules: Iterable[SecurityGroupRule], *, egress_touched: bool) -> SecurityGroup:
    """The group with these rules; egress it no longer has as created is remembered (SG-28, D-19)."""
    return replace(group, rules=tuple(rules), egress_unmodified=group.egress_unmodified and not egress_touched)


def _check_count(
    call: Call, world: World, rules: Sequence[SecurityGroupRule], added: Sequence[SecurityGroupRule]
) -> None:
    """SG-55 … SG-58, PL-14: rules as the quota counts them, and what refers to the lists of those that are added."""
    lists = Counter(rule.prefix_list_id for rule in added if rule.prefix_list_id is not None)
    for list_id, count in lists.items():
        check_rule_references(call, world, list_id, count)
    if len(rules) <= call.limits["rules-per-security-group"] and not any(rule.prefix_list_id for rule in rules):
        return
    call.check_quota("rules-per-security-group", rule_counts(world, rules))


def _check_duplicates(group: SecurityGroup, wanted: Sequence[SecurityGroupRule]) -> None:
    """SG-37. Only rules of a wanted protocol and ports are compared whole: an address block takes long to hash."""
    services = {(rule.protocol, rule.from_port, rule.to_port) for rule in wanted}
    present = {rule.permission for rule in group.rules if (rule.protocol, rule.from_port, rule.to_port) in services}
    for rule in wanted:
        permission = rule.permission
        if permission in present:
            raise duplicate(rule) if any(held.permission == permission for held in group.rules) else _twice()
        present.add(permission)


def _twice() -> ApiError:
    """AWS has a code of its own for a rule that one request names twice."""
    return fault("InvalidParameterValue", message="The same permission must not appear multiple times")


def _authorize(egress: bool) -> Callable[[Call, World, Params], Outcome]:
    def handler(call: Call, world: World, params: Params) -> Outcome:
        """SG-33..SG-46, SG-55: all rules of the call are added, or none."""
        group = named_group(call, world, params)
        wanted = PermissionParser(call, world, group, egress=egress, strict=True).parse(params)
        tags = tags_on_create(call, params, RULE_NOUN)
        _check_duplicates(group, wanted)
        added = tuple(new_rule(call, rule, tags) for rule in wanted)
        rules = group.rules + added
        _check_count(call, world, rules, added)
        changed = with_rules(group, rules, egress_touched=egress)
        reply = {"Return": True, "SecurityGroupRules": [_shown(group, rule) for rule in added]}
        return Outcome(reply, put(SECURITY_GROUP, changed))

    return handler


def _revoke(egress: bool) -> Callable[[Call, World, Params], Outcome]:
    def handler(call: Call, world: World, params: Params) -> Outcome:
        """SG-47..SG-49: by rule id, or by everything but the description."""
        group = named_group(call, world, params)
        unknown: list[SecurityGroupRule] = []
        if params.get("SecurityGroupRuleIds"):
            gone = [_own_rule(group, id, egress) for id in params["SecurityGroupRuleIds"]]
        else:
            gone, unknown = _matching(call, world, group, egress, params)
        keep = [rule for rule in group.rules if rule not in gone]
        reply: dict[str, Any] = {"Return": True}
        if unknown:
            reply["UnknownIpPermissions"] = permission_list(unknown)
        if gone:
            reply["RevokedSecurityGroupRules"] = [_revoked_view(group, rule) for rule in gone]
            return Outcome(reply, put(SECURITY_GROUP, with_rules(group, keep, egress_touched=egress)))
        return Outcome(reply)

    return handler


def _matching(
    call: Call, world: World, group: SecurityGroup, egress: bool, params: Params
) -> tuple[list[SecurityGroupRule], list[SecurityGroupRule]]:
    """The group's rules the permissions name, and the permissions that match none (an error outside a default VPC)."""
    present = {rule.permission: rule for rule in group.rules}
    found: list[SecurityGroupRule] = []
    unknown: list[SecurityGroupRule] = []
    for wanted in PermissionParser(call, world, group, egress=egress, strict=False).parse(params):
        rule = present.get(wanted.permission)
        (unknown if rule is None else found).append(wanted if rule is None else rule)
    vpc = world.find(VPC, group.vpc_id)
    if unknown and not (vpc and vpc.is_default):  # SG-48
        raise fault("InvalidPermission.NotFound")
    return found, unknown


def _own_rule(group: SecurityGroup, id: str, egress: bool | None = None) -> SecurityGroupRule:
    for rule in group.rules:
        if rule.id == id and egress in (None, rule.egress):
            return rule
    missing = "NotFound" if well_formed("sgr-", id) else "Malformed"
    raise fault(f"InvalidSecurityGroupRuleId.{missing}", id=id)


def _revoked_view(group: SecurityGroup, rule: SecurityGroupRule) -> dict[str, Any]:
    view = _view(group, rule)
    for absent in ("GroupOwnerId", "Tags", "SecurityGroupRuleArn"):
        view.pop(absent)
    reference = view.pop("ReferencedGroupInfo", None)
    if reference:
        view["ReferencedGroupId"] = reference["GroupId"]
    return view


def _update_descriptions(egress: bool) -> Callable[[Call, World, Params], Outcome]:
    def handler(call: Call, world: World, params: Params) -> Outcome:
        """SG-51: only the description changes."""
        group = named_group(call, world, params)
        descriptions = _new_descriptions(call, world, group, egress, params)
        rules = [
            replace(rule, description=descriptions[rule.id]) if rule.id in descriptions else rule
            for rule in group.rules
        ]
        return Outcome({"Return": True}, put(SECURITY_GROUP, replace(group, rules=tuple(rules))))

    return handler


def _new_descriptions(
    call: Call, world: World, group: SecurityGroup, egress: bool, params: Params
) -> dict[str, str | None]:
    by_id = params.get("SecurityGroupRuleDescriptions")
    if by_id and params.get("IpPermissions"):
        raise fault(
            "InvalidParameterCombination",
            message="The parameters IpPermissions and SecurityGroupRuleDescriptions cannot be used together",
        )
    if by_id:
        return {
            _own_rule(group, item.get("SecurityGroupRuleId") or "", egress).id: parse_description(
                item.get("Description")
            )
            for item in by_id
        }
    present = {rule.permission: rule for rule in group.rules}
    out: dict[str, str | None] = {}
    for wanted in PermissionParser(call, world, group, egress=egress, strict=False).parse(params):
        if wanted.permission not in present:
            raise fault("InvalidPermission.NotFound")
        out[present[wanted.permission].id] = wanted.description
    return out


for _verb, _make in (("Authorize", _authorize), ("Revoke", _revoke)):
    for _direction in ("Ingress", "Egress"):
        register(f"ec2:{_verb}SecurityGroup{_direction}", _make(_direction == "Egress"), mutating=True, module=__name__)
for _direction in ("Ingress", "Egress"):
    register(
        f"ec2:UpdateSecurityGroupRuleDescriptions{_direction}",
        _update_descriptions(_direction == "Egress"),
        mutating=True,
        module=__name__,
    )


@operation("ec2:ModifySecurityGroupRules")
def modify_security_group_rules(call: Call, world: World, params: Params) -> Outcome:
    """SG-50: rules keep their ids; all updates of the call are made, or none."""
    group = call.get(world, SECURITY_GROUP, params["GroupId"])
    updates = params["SecurityGroupRules"]
    new: dict[str, SecurityGroupRule] = {}
    for update in updates:
        old = _own_rule(group, update["SecurityGroupRuleId"])
        if old.id in new:
            raise fault("InvalidParameterValue", message=f"Rule {old.id} is given more than once")
        new[old.id] = _modified(call, world, group, old, update.get("SecurityGroupRule") or {})
    rules = [new.get(rule.id, rule) for rule in group.rules]
    seen: set[tuple[object, ...]] = set()
    for rule in rules:
        if rule.permission in seen:
            raise duplicate(rule)
        seen.add(rule.permission)
    named = [rule for rule in new.values() if rule.prefix_list_id != _own_rule(group, rule.id).prefix_list_id]
    _check_count(call, world, rules, named)
    touched = any(rule.egress for rule in new.values())
    return Outcome({"Return": True}, put(SECURITY_GROUP, with_rules(group, rules, egress_touched=touched)))


_PEER_NAMES = "cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
_PEERS = ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId")


def _modified(
    call: Call, world: World, group: SecurityGroup, old: SecurityGroupRule, wanted: Params
) -> SecurityGroupRule:
    service = parse_service(wanted.get("IpProtocol"), wanted.get("FromPort"), wanted.get("ToPort"))
    given = [name for name in _PEERS if wanted.get(name)]
    if not given:
        raise fault("MissingParameter", message=f"The request must contain exactly one of: {_PEER_NAMES}")
    if len(given) > 1:
        raise fault("InvalidParameterCombination", message=f"Only one of {_PEER_NAMES} can be specified")
    parser = PermissionParser(call, world, group, egress=old.egress, strict=True)
    value = wanted[given[0]]
    peer: dict[str, Any] = {"cidr": None, "prefix_list_id": None, "group": None}
    if given[0] == "ReferencedGroupId":
        peer["group"] = parser.reference({"GroupId": value})
    elif given[0] == "PrefixListId":
        peer["prefix_list_id"] = parser.prefix_list(value)
    else:
        peer["cidr"] = parse_cidr(value, ipv6=given[0] == "CidrIpv6")
    return replace(
        old,
        protocol=service.protocol,
        from_port=service.from_port,
        to_port=service.to_port,
        description=parse_description(wanted.get("Description")),
        **peer,
    )


# ---------------------------------------------------------------------- describe
_FILTERS: dict[str, Values] = {
    "group-id": lambda _, item: (item.group.id,),
    "security-group-rule-id": lambda _, item: (item.rule.id,),
}


@operation("ec2:DescribeSecurityGroupRules")
def describe_security_group_rules(call: Call, world: World, params: Params) -> Outcome:
    """SG-45."""
    ids = params.get("SecurityGroupRuleIds")
    if ids and params.get("MaxResults") is not None:
        raise fault(
            "InvalidParameterCombination",
            message="The parameter MaxResults cannot be used with SecurityGroupRuleIds",
        )
    given = params.get("Filters") or ()
    _check_group_ids(given)
    items: Any = [find_rule(call, world, id) for id in dict.fromkeys(ids)] if ids else _candidates(call, world, given)
    items = apply_filters(world, items, given, _FILTERS)
    shown, token = page(items, params)
    reply: dict[str, Any] = {
        "SecurityGroupRules": [
            Memo(item.rule, item.group.id, lambda item=item: _shown(item.group, item.rule)) for item in shown
        ]
    }
    return Outcome(reply | ({"NextToken": token} if token else {}))


def _check_group_ids(given: Sequence[Params]) -> None:
    """AWS: this operation's group-id filter takes ids only; one that is none is refused, an unknown one finds nothing."""
    for item in given:
        for value in item.get("Values") or ():
            if item.get("Name") == "group-id" and not well_formed("sg-", value) and not set(value) & set("*?\\"):
                raise fault("InvalidGroupId.Malformed", message=f"The security group ID '{value}' is malformed")


def _candidates(call: Call, world: World, given: Sequence[Params]) -> list[GroupRule]:
    """Rules worth filtering: of the groups named exactly by a group-id filter, else of all."""
    for item in given:
        values = item.get("Values") or ()
        if item.get("Name") == "group-id" and not any(set(value) & set("*?\\") for value in values):
            rows = [world.find(SECURITY_GROUP, value) for value in dict.fromkeys(values)]
            groups = [g for g in rows if g is not None and g.owner_id == call.account_id and g.region == call.region]
            return [GroupRule(group, rule) for group in groups for rule in group.rules]
    return [GroupRule(group, rule) for group in call.mine(world, SECURITY_GROUP) for rule in group.rules]
