"""What an EC2 request touches (IAM-23 … IAM-32, IAM-37; Service Authorization Reference, "Amazon EC2").

The published resource types of an action say what to look for, `naming.py` where to find it. A required type that a
request does not name is one it makes, or one it left out: both are `type/*`, which only a statement for all of them
allows. An action that nobody published has no targets, and so is never allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.api.authorise.ask import Ask, Values, pairs, request_tags, truth
from ringfence.api.authorise.deliveries import log_deliveries
from ringfence.api.authorise.launch import LAUNCHES
from ringfence.api.authorise.naming import named, type_of_parameter
from ringfence.api.authorise.passing import passed_roles
from ringfence.api.authorise.resources import ANY, arn, find, placed, target
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions
from ringfence.identity.actions import Action, Keys, ResourceUse
from ringfence.identity.question import Target
from ringfence.model.world import World

_TAGGING = frozenset({"CreateTags", "DeleteTags"})
#: actions with ec2:Attribute whose name does not tell
_WITH_ATTRIBUTES = frozenset({"ModifyManagedPrefixList", "ModifyVpcEndpoint", "ModifyVpcPeeringConnectionOptions"})
#: parameters beside the attributes that are modified
_NO_ATTRIBUTES = frozenset({"CurrentVersion", "DryRun"})


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """Every question that an EC2 call puts."""
    about = actions.action("ec2", call.action)
    if about is None:
        yield Ask(f"ec2:{call.action}", ())
        return
    yield Ask(f"ec2:{call.action}", tuple(_targets(call, world, params, about)))
    yield from _tags_on_create(call, world, params)
    yield from passed_roles(call, world, params)
    yield from log_deliveries(call, world, params)


def _targets(call: Call, world: World, params: Params, about: Action) -> Iterator[Target]:
    if not about.resources:  # IAM-24
        yield Target(arn=ANY, account_id=call.account_id)
        return
    if call.action in LAUNCHES:
        wanted = LAUNCHES[call.action](call, world, params)
    else:
        wanted = [(type, id, {}) for type, id in named(call, world, params)]
    wanted = [(type, id, extra) for type, id, extra in wanted if about.on(type) is not None or call.action in _TAGGING]
    wanted += [(use.type, ANY, _made(call, world, params)) for use in about.resources if _missing(use, wanted, params)]
    for type, id, extra in wanted:
        use = about.on(type) or ResourceUse(type, False, _ANY_TAGS)
        tags = request_tags(_request_tags(call, params, type)) if id == ANY or call.action in _TAGGING else {}
        yield target(
            call, world, type, id, use.keys, {**_attribute(call, params), **_given(call, params), **extra, **tags}
        )
    if not wanted:  # optional resources only, and none named
        yield Target(arn=ANY, account_id=call.account_id)


#: tags of a type that CreateTags does not know: the operation refuses it afterwards
_ANY_TAGS = Keys(("aws:RequestTag/${TagKey}", "aws:TagKeys"))
_Wanted = list[tuple[str, str, Values]]


def _missing(use: ResourceUse, wanted: _Wanted, params: Params) -> bool:
    """Whether a type is to be asked about though the request names none: required, or made by its tags."""
    if any(type == use.type for type, _, _ in wanted):
        return False
    return use.required or bool(_specified(params, use.type))


def _made(call: Call, world: World, params: Params) -> Values:
    """Where a new resource will be: the subnet or VPC that the request names."""
    for type, parameter in (("subnet", "SubnetId"), ("vpc", "VpcId")):
        id = params.get(parameter)
        row = find(call, world, type, id) if isinstance(id, str) else None
        if row is not None:
            return {f"ec2:{type}": arn(call, type, row.id, row.owner_id), **placed(call, row)}
    zone = params.get("AvailabilityZone")
    return {"ec2:availabilityzone": zone} if isinstance(zone, str) and zone else {}


def _attribute(call: Call, params: Params) -> Values:
    """ModifyVpcAttribute and its like: the attributes that are set, and to what."""
    by_name = call.action.startswith(("Modify", "Reset")) and call.action.endswith("Attribute")
    if not by_name and call.action not in _WITH_ATTRIBUTES:
        return {}
    given = {
        name: value
        for name, value in params.items()
        if type_of_parameter(name) is None and name not in _NO_ATTRIBUTES and value not in (None, [])
    }
    names = tuple(str(value) if name == "Attribute" else name for name, value in given.items())
    held: Values = {f"ec2:attribute/{name.lower()}": text for name, value in given.items() if (text := _text(value))}
    return held | ({"ec2:attribute": names[0] if len(names) == 1 else names} if names else {})


def _given(call: Call, params: Params) -> Values:
    """Keys that parameters of endpoints and peerings give to what is made."""
    held: Values = {}
    service, name = params.get("ServiceName"), params.get("PrivateDnsName")
    if isinstance(service, str) and service:
        held["ec2:vpceservicename"] = service
        if service.startswith("com.amazonaws."):
            held["ec2:vpceserviceowner"] = "amazon"
    if call.action == "CreateVpcEndpoint":
        held["ec2:vpceserviceregion"] = str(params.get("ServiceRegion") or call.region)
    if isinstance(name, str) and name:
        held["ec2:vpceserviceprivatednsname"] = name
    if call.action == "CreateVpcPeeringConnection":
        held["ec2:requestervpc"] = arn(call, "vpc", str(params.get("VpcId") or ANY))
        region, owner = params.get("PeerRegion") or call.region, params.get("PeerOwnerId") or call.account_id
        held["ec2:acceptervpc"] = f"arn:aws:ec2:{region}:{owner}:vpc/{params.get('PeerVpcId') or ANY}"
    return held


def _text(value: Any) -> str | None:
    if isinstance(value, Mapping) and set(value) == {"Value"}:
        value = value["Value"]
    if isinstance(value, bool):
        return truth(value)
    return str(value) if isinstance(value, str | int) else None


# ---------------------------------------------------------------------- tags
def _specified(params: Params, type: str) -> list[Any]:
    """The tags that `TagSpecifications` has for a type."""
    return [
        tag
        for specification in params.get("TagSpecifications") or ()
        if specification.get("ResourceType") == type
        for tag in specification.get("Tags") or ()
    ]


def _request_tags(call: Call, params: Params, type: str) -> Any:
    return pairs(params.get("Tags") or ()) if call.action in _TAGGING else pairs(_specified(params, type))


def _tags_on_create(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """IAM-32: tags given on creation need ec2:CreateTags, with ec2:CreateAction."""
    if call.action in _TAGGING:
        return
    types = dict.fromkeys(str(one.get("ResourceType") or ANY) for one in params.get("TagSpecifications") or ())
    about = actions.action("ec2", "CreateTags")
    for type in types:
        if not _specified(params, type):
            continue
        use = about.on(type) if about is not None else None
        held = target(call, world, type, ANY, use.keys if use is not None else _ANY_TAGS,
                      request_tags(pairs(_specified(params, type))))  # fmt: skip
        yield Ask("ec2:CreateTags", (held,), {"ec2:createaction": call.action})
