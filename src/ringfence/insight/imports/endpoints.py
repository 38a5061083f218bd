"""VPC endpoints of an import: gateway endpoints for Amazon S3 are modelled, others stay elements that are not (VPE-01 … VPE-07)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

from ringfence.insight.imports.draft import Draft, Source
from ringfence.insight.imports.notes import Problem
from ringfence.insight.imports.record import Record
from ringfence.model.aws_prefix_lists import service_list, service_name
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.routing import RouteTable
from ringfence.model.nouns.vpc_endpoint import DENY_ALL, FULL_ACCESS, VpcEndpoint

LIST, GATEWAY = "VpcEndpoints", "Gateway"
_IGNORED = (
    "Groups", "DnsOptions", "PrivateDnsEnabled", "RequesterManaged", "DnsEntries", "LastError", "Ipv4Prefixes", "Ipv6Prefixes",
    "FailureReason", "ServiceNetworkArn", "ResourceConfigurationArn", "ServiceRegion", "PayerResponsibilities", "SubnetIds",
)  # fmt: skip


class Told(NamedTuple):
    """What a record says of others: route tables that lead to the endpoint, interfaces that are its own."""

    vpc_id: str
    tables: tuple[str, ...]
    interfaces: tuple[str, ...]


def endpoints(draft: Draft) -> dict[str, Told]:
    """After VPCs and before route tables, whose routes then lead to them."""
    lists, told = _lists(draft), dict[str, Told]()

    def make(record: Record, source: Source) -> None:
        id, vpc = record.need("VpcEndpointId"), draft.find(Vpc, record.need("VpcId"))
        record.ignore(*_IGNORED)
        kind, service = record.text("VpcEndpointType") or "type not told", record.text("ServiceName") or "no service"
        addresses, state = record.text("IpAddressType") or "ipv4", (record.text("State") or "").lower()
        created, tags = _created(record), record.tags()
        tables, enis = (tuple(dict.fromkeys(record.texts(key))) for key in ("RouteTableIds", "NetworkInterfaceIds"))
        if vpc is None:
            draft.notes.left_out.append(Problem(id, f"its VPC {record.data['VpcId']} is not in the import"))
            record.ignore("OwnerId", "PolicyDocument")
            return
        told[id] = Told(vpc.id, tables, enis)
        own = draft.owned(record, source, vpc.region, vpc.owner_id)
        served = (kind, service, addresses) == (GATEWAY, service_name(vpc.region, "s3"), "ipv4")
        if not served or state != "available":
            there = "" if state == "available" else f", {state or 'in a state that is not told'}"
            record.ignore("PolicyDocument")
            draft.notes.not_modelled[id] = f"VpcEndpoint ({kind} of {service}{there})"
            return
        held = lists.get(id) or _list_of(draft, vpc.region, service)
        draft.put(
            VpcEndpoint(
                id=id, **own, tags=tags, vpc_id=vpc.id, service_name=service, prefix_list_id=held, route_table_ids=tables,
                policy=_policy(draft, record), created=created,
            )
        )  # fmt: skip

    draft.each(LIST, "VpcEndpointId", make)
    return told


def is_gateway(draft: Draft, id: str) -> bool:
    """Is it a gateway endpoint, as far as the import tells? One that was not recorded may be one."""
    records = (record.data for record, _ in draft.archive.records.get(LIST, ()))
    kinds = [data.get("VpcEndpointType") for data in records if data.get("VpcEndpointId") == id]
    return all(kind == GATEWAY for kind in kinds)


def agree(draft: Draft, told: dict[str, Told]) -> None:
    """Endpoints and tables tell of the same routes (VPE-01), and of interfaces that are there. After tables and interfaces."""
    led = {(table.id, route.target_id) for table in draft.all(RouteTable) for route in table.listed}
    for id, endpoint in told.items():
        for table_id in endpoint.tables:
            if draft.find(RouteTable, table_id) is None:
                why = f"{id} has a route in it, and it is not in the import (describe-route-tables)"
                draft.problem(endpoint.vpc_id, table_id, why)
            elif (table_id, id) not in led:
                why = f"it says that {table_id} leads to it, which has no such route: recorded at another time?"
                draft.problem(endpoint.vpc_id, id, why)
        for table_id in sorted(table for table, target in led if target == id and table not in endpoint.tables):
            draft.problem(
                endpoint.vpc_id, id, f"{table_id} leads to it, and it says otherwise: recorded at another time?"
            )
        for eni_id in endpoint.interfaces:
            if draft.find(NetworkInterface, eni_id) is None:
                why = f"it is an interface of {id}, and it is not in the import (describe-network-interfaces)"
                draft.problem(endpoint.vpc_id, eni_id, why)


def _lists(draft: Draft) -> dict[str, str]:
    """Endpoint → the prefix list that the routes to it name."""
    found: dict[str, str] = {}
    for table, _ in draft.archive.records.get("RouteTables", ()):
        routes = table.data.get("Routes")
        for route in routes if isinstance(routes, list) else ():
            if isinstance(route, dict) and isinstance(route.get("DestinationPrefixListId"), str):
                found.setdefault(str(route.get("GatewayId")), route["DestinationPrefixListId"])
    return found


def _list_of(draft: Draft, region: str, service: str) -> str:
    """The list of an endpoint that no table leads to: the recorded one of its service, else this installation's."""
    records = (record.data for record, _ in draft.archive.records.get("PrefixLists", ()))
    named = next((data.get("PrefixListId") for data in records if data.get("PrefixListName") == service), None)
    ours = service_list(region, "s3")
    return str(named or (ours.id if ours else draft.made("pl-", service, what="ids of prefix lists")))


def _policy(draft: Draft, record: Record) -> str | None:
    """Its policy as it stands; None for the one that AWS attaches by itself (VPE-07). One that is not told lets nothing through."""
    text = record.text("PolicyDocument")
    if text is None:
        draft.notes.not_modelled[record.element] = "an endpoint whose policy is not told: enforced, it denies all"
        return DENY_ALL
    try:
        return None if json.loads(text) == json.loads(FULL_ACCESS) else text
    except (ValueError, RecursionError):
        return text  # nothing passes by a policy that cannot be read


def _created(record: Record) -> float:
    text = record.text("CreationTimestamp")
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp() if text else 0.0
    except ValueError:
        return 0.0
