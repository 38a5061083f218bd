"""Tags on anything (Amazon EC2 User Guide: "Tag your Amazon EC2 resources"; spec SG-14, Q-31)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2 import peering_views
from ringfence.api.ops.ec2.security_group_rules import RULE_NOUN, find_rule
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import parse_tags
from ringfence.model.errors import fault
from ringfence.model.ids import well_formed
from ringfence.model.kinds import KINDS, PEERING_CONNECTION, SECURITY_GROUP
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put

_BY_PREFIX = {kind.prefix: kind for kind in KINDS.values() if kind.prefix and kind.service == "ec2"}
_Retag = Callable[[Tags], Tags]


def _retagged(call: Call, world: World, id: str, retag: _Retag) -> Change:
    """The change that gives a resource of any kind new tags. ApiError when it does not exist."""
    if id.startswith("sgr-"):
        found = find_rule(call, world, id)
        changed = replace(found.rule, tags=retag(found.rule.tags))
        rules = tuple(changed if rule is found.rule else rule for rule in found.group.rules)
        return put(SECURITY_GROUP, replace(found.group, rules=rules))
    kind = _BY_PREFIX.get(id.rpartition("-")[0] + "-")
    if kind is None or not well_formed(kind.prefix, id):  # error codes: tagging has one code for all malformed ids
        raise fault("InvalidID", id=id)
    if kind is PEERING_CONNECTION:
        found_connection = peering_views.find(call, world, id)
        held = retag(peering_views.tags_of(call, found_connection))
        return put(PEERING_CONNECTION, peering_views.with_tags(call, found_connection, held))
    row = call.owned_row(world, kind, id)
    return put(kind, replace(row, tags=retag(row.tags)))


def _apply(call: Call, world: World, ids: list[str], retag: _Retag) -> Outcome:
    """All resources, or none; a group whose rules are tagged in the same call is changed step by step."""
    change, now = Change(), world
    for id in dict.fromkeys(ids):
        step = _retagged(call, now, id, retag)
        now, change = now.apply(step), change + step
    return Outcome({}, change)


@operation("ec2:CreateTags")
def create_tags(call: Call, world: World, params: Params) -> Outcome:
    """Later values replace earlier ones (SG-14)."""
    if not params["Resources"]:
        raise fault("MissingParameter", name="resourceIdSet")
    if not params["Tags"]:
        raise fault("MissingParameter", name="tagSet")
    return _apply(call, world, params["Resources"], lambda tags: parse_tags(call, params["Tags"], tags))


@operation("ec2:DeleteTags")
def delete_tags(call: Call, world: World, params: Params) -> Outcome:
    """A key alone removes it whatever its value; key and value only that pair; no tags at all removes every tag."""
    given = params.get("Tags")

    def retag(tags: Tags) -> Tags:
        if not given:
            return ()
        gone = {(tag.get("Key"), tag.get("Value")) for tag in given}
        return tuple((k, v) for k, v in tags if (k, v) not in gone and (k, None) not in gone)

    return _apply(call, world, params["Resources"], retag)


@dataclass(frozen=True, slots=True)
class _Tagged:
    """One tag of one resource."""

    noun: str
    resource: str
    key: str
    value: str

    @property
    def id(self) -> str:
        return f"{self.resource}/{self.key}"

    tags: Tags = ()

    def tag(self, key: str) -> str | None:
        return self.value if key == self.key else None


_FILTERS: dict[str, Values] = {
    "key": lambda _, tag: (tag.key,),
    "value": lambda _, tag: (tag.value,),
    "resource-id": lambda _, tag: (tag.resource,),
    "resource-type": lambda _, tag: (tag.noun,),
}


@operation("ec2:DescribeTags")
def describe_tags(call: Call, world: World, params: Params) -> Outcome:
    """Every tag of every resource the caller has in the Region."""
    found = [
        _Tagged(kind.noun, row.id, key, value)
        for kind in KINDS.values()
        if kind.prefix and kind.service == "ec2" and kind is not PEERING_CONNECTION
        for row in call.mine(world, kind)
        for key, value in row.tags
    ]
    found += [
        _Tagged(PEERING_CONNECTION.noun, seen.id, key, value)
        for seen in peering_views.all_of(call, world)
        for key, value in seen.tags
    ]
    found += [
        _Tagged(RULE_NOUN, rule.id, key, value)
        for group in call.mine(world, SECURITY_GROUP)
        for rule in group.rules
        for key, value in rule.tags
    ]
    kept = apply_filters(world, found, params.get("Filters") or (), _FILTERS)
    shown, token = page(kept, params)
    tags = [{"ResourceId": tag.resource, "ResourceType": tag.noun, "Key": tag.key, "Value": tag.value} for tag in shown]
    return Outcome({"Tags": tags} | ({"NextToken": token} if token else {}))
