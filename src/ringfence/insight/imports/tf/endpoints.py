"""VPC endpoints of Terraform, the route tables that lead to them, and their policies."""

from __future__ import annotations

from typing import Any

from ringfence.insight.imports.draft import made_id
from ringfence.insight.imports.tf.plan import Plan
from ringfence.insight.imports.tf.things import Thing
from ringfence.model.nouns.routing import BY_ENDPOINT
from ringfence.model.nouns.vpc_endpoint import DENY_ALL, FULL_ACCESS

GATEWAY = "Gateway"


def endpoint(plan: Plan, thing: Thing) -> None:
    """`aws_vpc_endpoint`, with what `aws_vpc_endpoint_route_table_association` and `aws_vpc_endpoint_policy` say of it. After
    route tables, which get its routes."""
    values, vpc_id = thing.values, plan.need(thing, "vpc_id")
    kind, service = values.get("vpc_endpoint_type") or GATEWAY, values.get("service_name")
    record: dict[str, Any] = {
        "VpcEndpointId": thing.id, "VpcId": vpc_id, "VpcEndpointType": kind, "ServiceName": service, "Tags": plan.tags(thing),
        "OwnerId": values.get("owner_id"), "State": values.get("state") or "available",
        "IpAddressType": values.get("ip_address_type"), "PolicyDocument": _policy(plan, thing),
        "NetworkInterfaceIds": [id for id in values.get("network_interface_ids") or () if isinstance(id, str)],
    }  # fmt: skip
    record["RouteTableIds"] = tables = _tables(plan, thing) if kind == GATEWAY else []
    for table_id in tables:
        if table_id in plan.tables:
            route = {"DestinationPrefixListId": thing.list_id, "GatewayId": thing.id}
            plan.tables[table_id]["Routes"].append(route)
    blocks = values.get("cidr_blocks")
    if kind == GATEWAY and isinstance(blocks, list) and blocks:
        plan.lists.setdefault(thing.list_id, [str(block) for block in blocks])
        plan.list_names.setdefault(thing.list_id, str(service))
    plan.add("VpcEndpoints", record, thing.id)


def association(plan: Plan, thing: Thing) -> None:
    """One of an endpoint that is not in the document: what its route is to is not known."""
    endpoint_id, table = plan.need(thing, "vpc_endpoint_id"), plan.tables.get(plan.need(thing, "route_table_id"))
    if table is not None and all(end.id != endpoint_id for end in plan.things.of_type("aws_vpc_endpoint")):
        table["Routes"].append({"DestinationPrefixListId": made_id("pl-", endpoint_id), "GatewayId": endpoint_id})


def _about(plan: Plan, thing: Thing, type: str) -> list[Thing]:
    return [t for t in plan.things.of_type(type) if plan.things.one(t, "vpc_endpoint_id") == thing.id]


def _tables(plan: Plan, thing: Thing) -> list[str]:
    """The tables that lead to it; where some are not known, every table of its VPC may."""
    found, lost = plan.things.several(thing, "route_table_ids"), plan.things.lost(thing, "route_table_ids")
    for other in _about(plan, thing, "aws_vpc_endpoint_route_table_association"):
        table_id = plan.things.one(other, "route_table_id")
        lost = lost or table_id is None
        found += [table_id] if table_id is not None else []
    if lost:
        plan.notes.not_modelled[thing.address] = "a gateway endpoint whose route tables are known after apply"
        for table in plan.tables.values():
            if table["VpcId"] == plan.things.one(thing, "vpc_id"):
                ways = [*table.get("PropagatingVgws", ()), {"GatewayId": thing.id + BY_ENDPOINT}]
                table |= {"PropagatingVgws": ways, "RoutesAreListed": False}
    return list(dict.fromkeys(found))


def _policy(plan: Plan, thing: Thing) -> str:
    """The last word has the resource of its own. One that is known after apply lets nothing through where it is enforced."""
    for each in (*_about(plan, thing, "aws_vpc_endpoint_policy"), thing):
        text = each.values.get("policy")
        if isinstance(text, str) and text:
            return text
        if not plan.all_known(each, "policy"):
            plan.notes.not_modelled[each.address] = (
                "a policy of an endpoint that is known after apply: enforced, it denies all"
            )
            return DENY_ALL
    return FULL_ACCESS
