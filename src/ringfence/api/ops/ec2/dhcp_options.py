"""DHCP options sets (Amazon VPC User Guide: "DHCP option sets"; spec DNS-04..DNS-07)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import DHCP_OPTIONS, VPC
from ringfence.model.nouns.network import DhcpOptions
from ringfence.model.world import World, delete, put


def _view(world: World, options: DhcpOptions) -> Params:
    return {
        "DhcpOptionsId": options.id,
        "OwnerId": options.owner_id,
        "DhcpConfigurations": [
            {"Key": key, "Values": [{"Value": value} for value in values]} for key, values in options.options
        ],
        "Tags": tag_list(options.tags),
    }


describe(
    "ec2:DescribeDhcpOptions",
    DHCP_OPTIONS,
    ids="DhcpOptionsIds",
    result="DhcpOptions",
    view=_view,
    pure=True,
    filters={
        "dhcp-options-id": lambda _, options: (options.id,),
        "owner-id": lambda _, options: (options.owner_id,),
        "key": lambda _, options: (key for key, _v in options.options),
        "value": lambda _, options: (value for _k, values in options.options for value in values),
    },
)

_SERVER_LISTS = {"domain-name-servers", "ntp-servers", "netbios-name-servers"}
_KEYS = _SERVER_LISTS | {"domain-name", "netbios-node-type", "ipv6-address-preferred-lease-time"}


def _check(key: str, values: tuple[str, ...]) -> None:
    """DNS-05."""
    if key not in _KEYS:
        raise fault(
            "InvalidParameterValue", message=f"Value ({key}) for parameter name is invalid. Unknown DHCP option"
        )
    if not values:
        raise fault("InvalidParameterValue", message=f"The DHCP option {key} has no values")
    if key == "netbios-node-type" and values not in (("1",), ("2",), ("4",), ("8",)):
        raise fault("InvalidParameterValue", message=f"Value ({values[0]}) for parameter netbios-node-type is invalid.")
    if key in _SERVER_LISTS and values != ("AmazonProvidedDNS",):
        _check_servers(key, values)


def _check_servers(key: str, values: tuple[str, ...]) -> None:
    families = []
    for value in values:
        try:
            families.append(ip_address(value).version)
        except ValueError:
            if value != "AmazonProvidedDNS":
                raise fault(
                    "InvalidParameterValue", message=f"Value ({value}) for parameter {key} is invalid."
                ) from None
    if families.count(4) > 4 or families.count(6) > 4:
        raise fault("InvalidParameterValue", message=f"At most four servers per address family may be given for {key}")


@operation("ec2:CreateDhcpOptions")
def create_dhcp_options(call: Call, world: World, params: Params) -> Outcome:
    """DNS-05: a set never changes."""
    given: dict[str, tuple[str, ...]] = {}
    for item in params["DhcpConfigurations"]:
        key, values = item.get("Key") or "", tuple(item.get("Values") or ())
        flat = tuple(part.strip() for value in values for part in value.split(",")) if key in _SERVER_LISTS else values
        _check(key, flat)
        given[key] = flat
    tags = tags_on_create(call, params, DHCP_OPTIONS)
    options = DhcpOptions(id=call.ids.new("dopt-"), **call.owned(), tags=tags, options=tuple(given.items()))
    return Outcome({"DhcpOptions": _view(world, options)}, put(DHCP_OPTIONS, options))


@operation("ec2:DeleteDhcpOptions")
def delete_dhcp_options(call: Call, world: World, params: Params) -> Outcome:
    """DNS-06."""
    options = call.get(world, DHCP_OPTIONS, params["DhcpOptionsId"])
    if any(vpc.dhcp_options_id == options.id for vpc in call.mine(world, VPC)):
        raise fault(
            "DependencyViolation", message=f"The dhcpOptions '{options.id}' has dependencies and cannot be deleted."
        )
    return Outcome({}, delete(DHCP_OPTIONS, options.id))


@operation("ec2:AssociateDhcpOptions")
def associate_dhcp_options(call: Call, world: World, params: Params) -> Outcome:
    """DNS-05, DNS-07: `default` means no options."""
    vpc = call.get(world, VPC, params["VpcId"])
    wanted = params["DhcpOptionsId"]
    id = wanted if wanted == "default" else call.get(world, DHCP_OPTIONS, wanted).id
    return Outcome({}, put(VPC, replace(vpc, dhcp_options_id=id)))
