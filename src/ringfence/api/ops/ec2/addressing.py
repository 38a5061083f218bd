"""Addresses and numbers: what is free in a subnet, in a VPC, in the installation's public pool (NET-11, IGW-11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from itertools import chain
from typing import Any

from ringfence.api.ops.context import Call
from ringfence.model.errors import fault
from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE, ROUTE_TABLE, SUBNET_CIDR_RESERVATION, VPC, Kind
from ringfence.model.net import IPV6_POOL, PUBLIC_POOL
from ringfence.model.nouns.network import Subnet
from ringfence.model.world import World

RESERVED_FIRST, RESERVED_LAST = 4, 1  # NET-11: network, router, DNS, future use; broadcast


def is_reserved(subnet: Subnet, address: IPv4Address) -> bool:
    offset = int(address) - int(subnet.cidr.network_address)
    return offset < RESERVED_FIRST or offset >= subnet.cidr.num_addresses - RESERVED_LAST


def available_count(world: World, subnet: Subnet) -> int:
    """AvailableIpAddressCount."""
    used = sum(len(eni.addresses) for eni in world.by(NETWORK_INTERFACE, "subnet", subnet.id))
    return subnet.cidr.num_addresses - RESERVED_FIRST - RESERVED_LAST - used


def _set_apart(world: World, subnet: Subnet, address: IPv4Address | IPv6Address) -> bool:
    """Is the address of a reservation, to be given out only when it is asked for?"""
    return any(address in row.block for row in world.by(SUBNET_CIDR_RESERVATION, "subnet", subnet.id))


def allocate_ipv4(
    world: World, subnet: Subnet, count: int, *, wanted: Sequence[str] = (), taken: Iterable[IPv4Address] = ()
) -> tuple[IPv4Address, ...]:
    """`wanted` addresses (checked) and then free ones, `count` in all. `taken`: given out in this call.

    ApiError InvalidParameterValue, InvalidIPAddress.InUse, InsufficientFreeAddressesInSubnet.
    """
    used = set(taken)
    out: list[IPv4Address] = []
    for text in wanted:
        address = _wanted_ipv4(subnet, text)
        if address in used or _held(world, subnet, address):
            raise fault("InvalidIPAddress.InUse", address=address)
        used.add(address)
        out.append(address)
    candidates = _candidates(world, subnet)
    while len(out) < count:
        free = next((a for a in candidates if a not in used and not _held(world, subnet, a)), None)
        if free is None:
            raise fault("InsufficientFreeAddressesInSubnet", subnet=subnet.id)
        out.append(free)
    return tuple(out)


def _held(world: World, subnet: Subnet, address: IPv4Address) -> int:
    return world.count(NETWORK_INTERFACE, "address", f"{subnet.vpc_id}/{address}")


def _candidates(world: World, subnet: Subnet) -> Iterator[IPv4Address]:
    """The subnet's addresses in order but for reservations, from where the first free one is likely: past as many as it has
    interfaces."""
    first = int(subnet.cidr.network_address) + RESERVED_FIRST
    last = int(subnet.cidr.broadcast_address) - RESERVED_LAST
    likely = min(first + world.count(NETWORK_INTERFACE, "subnet", subnet.id), last)
    addresses = map(IPv4Address, chain(range(likely, last + 1), range(first, likely)))
    if not world.count(SUBNET_CIDR_RESERVATION, "subnet", subnet.id):
        return addresses
    return (address for address in addresses if not _set_apart(world, subnet, address))


def _wanted_ipv4(subnet: Subnet, text: str) -> IPv4Address:
    try:
        address = IPv4Address(text)
    except ValueError:
        raise fault("InvalidParameterValue", message=f"Invalid value '{text}' for privateIpAddress") from None
    if address not in subnet.cidr:
        raise fault("InvalidParameterValue", message="Address does not fall within the subnet's address range")
    if is_reserved(subnet, address):
        raise fault("InvalidParameterValue", message=f"Address {address} is in subnet's reserved address range")
    return address


def allocate_ipv6(
    call: Call, world: World, subnet: Subnet, count: int, *, wanted: Sequence[str] = (),
    taken: Iterable[IPv6Address] = (),
) -> tuple[IPv6Address, ...]:  # fmt: skip
    """`wanted` IPv6 addresses and then fresh random ones from the subnet's blocks, `count` in all."""
    blocks = [association.block for association in subnet.ipv6 if isinstance(association.block, IPv6Network)]
    if (count or wanted) and not blocks:
        raise fault("InvalidParameterValue", message=f"The subnet '{subnet.id}' has no IPv6 CIDR block")
    used = set(taken)
    out: list[IPv6Address] = []
    for text in wanted:
        address = _wanted_ipv6(blocks, text)
        if address in used or world.count(NETWORK_INTERFACE, "address", f"{subnet.vpc_id}/{address}"):
            raise fault("InvalidIPAddress.InUse", address=address)
        used.add(address)
        out.append(address)
    while len(out) < count:
        address = blocks[0].network_address + call.ids.number(62) + RESERVED_FIRST
        if _set_apart(world, subnet, address):
            continue
        if address not in used and not world.count(NETWORK_INTERFACE, "address", f"{subnet.vpc_id}/{address}"):
            used.add(address)
            out.append(address)
    return tuple(out)


def _wanted_ipv6(blocks: Sequence[IPv6Network], text: str) -> IPv6Address:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise fault("InvalidParameterValue", message=f"Invalid value '{text}' for ipv6Address") from None
    for block in blocks:
        offset = int(address) - int(block.network_address)
        if address in block and RESERVED_FIRST <= offset < block.num_addresses - RESERVED_LAST:
            return address
    raise fault("InvalidParameterValue", message=f"Address {address} does not fall within the subnet's IPv6 range")


def next_number(world: World, kind: Kind[Any], vpc_id: str, *, taken: Iterable[int] = ()) -> int:
    """A free number (1..65535) of an interface or a route table within its VPC, near the lowest."""
    assert kind in (NETWORK_INTERFACE, ROUTE_TABLE)
    used = set(taken)
    likely = min(world.count(kind, "vpc", vpc_id) + 1, 65535)
    for number in chain(range(likely, 65536), range(1, likely)):
        if number not in used and not world.count(kind, "number", f"{vpc_id}/{number}"):
            return number
    raise fault("NetworkInterfaceLimitExceeded")


def new_public_ip(call: Call, world: World, *, taken: Iterable[IPv4Address] = ()) -> IPv4Address:
    """A public address nobody in the installation has."""
    lent = set(taken)
    for _ in range(10_000):
        offset = 256 + call.ids.number(17) % (PUBLIC_POOL.num_addresses - 512)
        address = PUBLIC_POOL.network_address + offset
        free = not world.count(ELASTIC_IP, "public", str(address)) and not world.count(
            NETWORK_INTERFACE, "public", str(address)
        )
        if free and address not in lent:
            return address
    raise fault("AddressLimitExceeded")


def new_ipv6_block(call: Call, world: World) -> IPv6Network:
    """A /56 no VPC of the installation has."""
    used = {association.block for vpc in world.all(VPC) for association in vpc.ipv6}
    while True:
        number = call.ids.number(24)
        network = IPv6Network((int(IPV6_POOL.network_address) | number << 72, 56))
        if number & 0xFF and network not in used:  # like AWS's: `...:ab00::/56`, the /64s are easy to write
            return network
