"""Route tables and their routes (Amazon VPC User Guide: "Configure route tables")."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.net import Network
from ringfence.model.row import Row

#: the end of the name of an unread list whose routes lead to a gateway endpoint
BY_ENDPOINT = " by way of an endpoint"


class RouteTarget(enum.StrEnum):
    """What a route points at; the value is the kind of resource its id names."""

    LOCAL = "local"  # the VPC itself; no id
    INTERNET_GATEWAY = "internet-gateway"
    NETWORK_INTERFACE = "network-interface"
    PEERING_CONNECTION = "vpc-peering-connection"
    GATEWAY_ENDPOINT = "vpc-endpoint"
    UNMODELLED = "unmodelled"  # only imports have it: an element that is not modelled, named by `target_id`


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. `target_id` is None for LOCAL. Whether it is a blackhole is decided when read (RT-12)."""

    destination: Network
    target: RouteTarget
    target_id: str | None = None
    origin: str = "CreateRoute"  # CreateRouteTable | CreateRoute | EnableVgwRoutePropagation


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRoute:
    """One route whose destination is a prefix list: a route to each of its entries, whatever they become (PL-08).

    That of a gateway endpoint goes with the endpoint (VPE-01).
    """

    prefix_list_id: str
    target: RouteTarget
    target_id: str
    origin: str = "CreateRoute"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTableAssociation:
    """Binds a table to a subnet, to a gateway (edge association), or, as `main`, to the VPC."""

    id: str  # rtbassoc-...
    main: bool = False
    subnet_id: str | None = None
    gateway_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable(Row):
    """A route table. `number` (1..65535) is unique within its VPC; the data plane uses it as a table number.

    `unread`: only imports have it: what adds routes that are not known (a prefix list without its entries). Of one that ends in
    `BY_ENDPOINT` only this is not known: which public addresses the routes are to.
    """

    vpc_id: str
    number: int
    routes: tuple[Route, ...] = ()
    listed: tuple[ListRoute, ...] = ()
    associations: tuple[RouteTableAssociation, ...] = ()
    unread: tuple[str, ...] = ()
