"""Gateway endpoints for Amazon S3 (AWS PrivateLink Guide: "Gateway endpoints"; spec VPE-01 … VPE-07, VPE-16).

An endpoint puts one route into each of its route tables, to the service's prefix list; that route comes and goes with the
association and by nothing else (VPE-01).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.ec2.vpc_endpoint_services import GATEWAY, service_of
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.identity import document
from ringfence.identity.document import DocumentKind
from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import ROUTE_TABLE, VPC, VPC_ENDPOINT
from ringfence.model.nouns.routing import ListRoute, RouteTable, RouteTarget
from ringfence.model.nouns.vpc_endpoint import FULL_ACCESS, VpcEndpoint
from ringfence.model.world import NOTHING, Change, World, delete, put

POLICY_CHARACTERS = 20_480  # VPE-07
#: what other types of endpoints have
_OF_OTHER_TYPES = (
    "SubnetIds", "SecurityGroupIds", "SubnetConfigurations", "PrivateDnsEnabled", "DnsOptions", "ServiceNetworkArn",
    "ResourceConfigurationArn", "AddSubnetIds", "RemoveSubnetIds", "AddSecurityGroupIds", "RemoveSecurityGroupIds",
)  # fmt: skip


# ---------------------------------------------------------------------- reading
def _view(_: World, endpoint: VpcEndpoint) -> Params:
    return {
        "VpcEndpointId": endpoint.id, "VpcEndpointType": GATEWAY, "VpcId": endpoint.vpc_id,
        "ServiceName": endpoint.service_name, "State": endpoint.state, "PolicyDocument": endpoint.policy or FULL_ACCESS,
        "RouteTableIds": list(endpoint.route_table_ids), "SubnetIds": [], "Groups": [], "IpAddressType": "ipv4",
        "PrivateDnsEnabled": False, "RequesterManaged": False, "NetworkInterfaceIds": [], "DnsEntries": [],
        "CreationTimestamp": datetime.fromtimestamp(endpoint.created, UTC), "Tags": tag_list(endpoint.tags),
        "OwnerId": endpoint.owner_id, "ServiceRegion": endpoint.region,
    }  # fmt: skip


describe(
    "ec2:DescribeVpcEndpoints",
    VPC_ENDPOINT,
    ids="VpcEndpointIds",
    result="VpcEndpoints",
    view=_view,
    pure=True,
    indexed={"vpc-id": "vpc"},
    page_sizes=(1, 1000),
    filters={
        "ip-address-type": lambda _, endpoint: ("ipv4",),
        "service-name": lambda _, endpoint: (endpoint.service_name,),
        "service-region": lambda _, endpoint: (endpoint.region,),
        "vpc-id": lambda _, endpoint: (endpoint.vpc_id,),
        "vpc-endpoint-id": lambda _, endpoint: (endpoint.id,),
        "vpc-endpoint-state": lambda _, endpoint: (endpoint.state,),
        "vpc-endpoint-type": lambda _, endpoint: (GATEWAY,),
    },
)


# ---------------------------------------------------------------------- what a request may say
def _check_type(call: Call, params: Params) -> None:
    """Gateway endpoints of this Region are served. ApiError UnsupportedOperation, InvalidParameter."""
    type = params.get("VpcEndpointType") or GATEWAY
    if type != GATEWAY:
        raise fault("UnsupportedOperation", message=f"Endpoints of type {type} are not supported by this installation")
    if params.get("ServiceRegion") not in (None, call.region):
        raise fault("InvalidParameter", message="A gateway endpoint is for a service of its own Region")
    _refuse_other_types(params)


def _refuse_other_types(params: Params) -> None:
    for name in _OF_OTHER_TYPES:
        if params.get(name):
            raise fault("InvalidParameter", message=f"{name} is not supported for endpoints of type {GATEWAY}")
    if params.get("IpAddressType") not in (None, "ipv4"):
        raise fault("UnsupportedOperation", message="Gateway endpoints are served for IPv4 only")  # VPE-04


def _policy(params: Params) -> str | None:
    """The policy that a request gives (VPE-07). ApiError InvalidPolicyDocument."""
    text = params.get("PolicyDocument")
    if not text:
        return None
    if len(text) > POLICY_CHARACTERS:
        message = f"The policy document must not be longer than {POLICY_CHARACTERS} characters"
        raise fault("InvalidPolicyDocument", message=message)
    document.malformed(text, DocumentKind.ENDPOINT, "InvalidPolicyDocument")
    return str(text)


# ---------------------------------------------------------------------- routes
def _added(call: Call, world: World, endpoint: VpcEndpoint, ids: Iterable[str]) -> tuple[RouteTable, ...]:
    """These tables with the endpoint's route (VPE-01, VPE-02). ApiError RouteAlreadyExists, InvalidParameter."""
    return tuple(_with_route(call.get(world, ROUTE_TABLE, id), endpoint) for id in dict.fromkeys(ids))


def _with_route(table: RouteTable, endpoint: VpcEndpoint) -> RouteTable:
    if table.vpc_id != endpoint.vpc_id:
        message = f"route table {table.id} and network {endpoint.vpc_id} belong to different networks"
        raise fault("InvalidParameter", message=message)
    if any(association.gateway_id for association in table.associations):  # PL-12
        message = f"route table {table.id} is a gateway route table: it takes no route to a prefix list"
        raise fault("InvalidParameter", message=message)
    listed = endpoint.prefix_list_id
    if any(route.prefix_list_id == listed for route in table.listed):
        message = f"route table {table.id} already has a route with destination-prefix-list-id {listed}"
        raise fault("RouteAlreadyExists", message=message)
    route = ListRoute(prefix_list_id=listed, target=RouteTarget.GATEWAY_ENDPOINT, target_id=endpoint.id)
    return replace(table, listed=(*table.listed, route))


def _removed(world: World, endpoint: VpcEndpoint, ids: Iterable[str]) -> tuple[RouteTable, ...]:
    """These tables without the endpoint's route. ApiError InvalidParameter for one it is not in."""
    return tuple(_without_route(world, id, endpoint) for id in dict.fromkeys(ids))


def _without_route(world: World, id: str, endpoint: VpcEndpoint) -> RouteTable:
    if id not in endpoint.route_table_ids:
        raise fault("InvalidParameter", message=f"route table {id} is not associated with {endpoint.id}")
    table = world.get(ROUTE_TABLE, id)
    return replace(table, listed=tuple(route for route in table.listed if route.target_id != endpoint.id))


def _ids(tables: Iterable[RouteTable]) -> tuple[str, ...]:
    return tuple(table.id for table in tables)


# ---------------------------------------------------------------------- changing
@operation("ec2:CreateVpcEndpoint")
def create_vpc_endpoint(call: Call, world: World, params: Params) -> Outcome:
    """VPE-01, VPE-02, VPE-07. ApiError InvalidServiceName, RouteAlreadyExists, VpcEndpointLimitExceeded, InvalidPolicyDocument."""
    _check_type(call, params)
    vpc = call.get(world, VPC, params["VpcId"])
    if not params.get("ServiceName"):
        raise fault("MissingParameter", name="ServiceName")
    service = service_of(call.region, params["ServiceName"])
    listed = service_list(service.region, service.service)
    assert listed is not None  # whatever has a gateway endpoint has a list
    call.check_quota("gateway-endpoints", world.count_owned(VPC_ENDPOINT, call.account_id, call.region) + 1)
    endpoint = VpcEndpoint(
        id=call.ids.new("vpce-"), **call.owned(), tags=tags_on_create(call, params, VPC_ENDPOINT), vpc_id=vpc.id,
        service_name=service.name, prefix_list_id=listed.id, policy=_policy(params), created=call.now.timestamp(),
    )  # fmt: skip
    tables = _added(call, world, endpoint, params.get("RouteTableIds") or ())
    endpoint = replace(endpoint, route_table_ids=_ids(tables))
    reply: dict[str, Any] = {"VpcEndpoint": _view(world, endpoint)}
    if params.get("ClientToken"):
        reply["ClientToken"] = params["ClientToken"]
    return Outcome(reply, put(VPC_ENDPOINT, endpoint) + put(ROUTE_TABLE, *tables))


@operation("ec2:ModifyVpcEndpoint")
def modify_vpc_endpoint(call: Call, world: World, params: Params) -> Outcome:
    """Its policy, and the tables that lead to it; what is taken away goes first. ApiError as CreateVpcEndpoint, InvalidParameter."""
    endpoint = call.get(world, VPC_ENDPOINT, params["VpcEndpointId"])
    _refuse_other_types(params)
    policy, reset = _policy(params), bool(params.get("ResetPolicy"))
    if policy is not None and reset:
        message = "PolicyDocument and ResetPolicy cannot be given together"
        raise fault("InvalidParameterCombination", message=message)
    left = _removed(world, endpoint, params.get("RemoveRouteTableIds") or ())
    change = put(ROUTE_TABLE, *left)
    kept = tuple(id for id in endpoint.route_table_ids if id not in _ids(left))
    tables = _added(call, world.apply(change) if change else world, endpoint, params.get("AddRouteTableIds") or ())
    changed = replace(
        endpoint, route_table_ids=(*kept, *_ids(tables)),
        policy=None if reset else policy if policy is not None else endpoint.policy,
    )  # fmt: skip
    return Outcome({"Return": True}, change + put(ROUTE_TABLE, *tables) + put(VPC_ENDPOINT, changed))


@operation("ec2:DeleteVpcEndpoints")
def delete_vpc_endpoints(call: Call, world: World, params: Params) -> Outcome:
    """Each by itself, with its routes; those that cannot be deleted are listed."""
    change, failed = NOTHING, []
    for id in dict.fromkeys(params["VpcEndpointIds"]):
        try:
            endpoint = call.get(world, VPC_ENDPOINT, id)
        except ApiError as problem:
            failed.append({"ResourceId": id, "Error": {"Code": problem.code, "Message": problem.message}})
            continue
        change += _gone(world.apply(change) if change else world, endpoint)
    return Outcome({"Unsuccessful": failed}, change)


def _gone(world: World, endpoint: VpcEndpoint) -> Change:
    tables = _removed(world, endpoint, endpoint.route_table_ids)
    return put(ROUTE_TABLE, *tables) + delete(VPC_ENDPOINT, endpoint.id)
