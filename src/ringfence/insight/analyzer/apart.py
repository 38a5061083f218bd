"""Why there is no packet at all to ask about: ends between which nothing goes, whatever the rules (Reachability Analyzer guide,
"Reachability Analyzer explanation codes")."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.insight.analyzer import views
from ringfence.insight.analyzer.question import Question
from ringfence.insight.analyzer.views import View
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.places import WIDTH, Place, inside
from ringfence.model.kinds import VPC_ENDPOINT
from ringfence.model.net import Address, Protocol
from ringfence.model.world import World


def apart(world: World, engine: Engine, question: Question) -> Iterator[View]:
    """Every reason that follows from the ends; none when it is the addresses asked for."""
    if question.source.endpoint is not None:
        yield from _from_endpoint(world, engine, question, question.source.endpoint)
    elif question.source.peering is not None:
        told = list(_from_peer(world, engine, question, question.source.peering))
        yield from told or [
            {"ExplanationCode": "NO_PATH", "Component": views.component(world, question.source.peering)}
        ]
    elif question.destination is not None and question.destination.peering is not None:
        yield from _disconnected(world, engine, question, question.destination.peering)


def _ends_in(engine: Engine, question: Question) -> Iterator[str]:
    """The VPCs that interfaces of the question are in, source first."""
    for end in (question.source, question.destination):
        for eni in end.interfaces[:1] if end is not None else ():
            yield engine.places.ports[eni].vpc_id


def _addresses(question: Question) -> list[Address]:
    """The destination addresses asked for."""
    given = (
        question.at_source.destination_address,
        question.destination_ip,
        question.at_destination.destination_address,
    )
    return [address for address in given if address is not None]


def _holds(place: Place, address: Address) -> bool:
    return inside(place.blocks[address.version], WIDTH[address.version], int(address))


# ---------------------------------------------------------------------- from a gateway endpoint
def _from_endpoint(world: World, engine: Engine, question: Question, id: str) -> Iterator[View]:
    """Its service answers, and asks nobody: VPCE_INTRA_VPC_TRAFFIC, and what it would not even answer."""
    row, shown = world.get(VPC_ENDPOINT, id), {"VpcEndpoint": views.component(world, id)}
    place, wanted = engine.places.vpcs[row.vpc_id], question.at_source.source_address
    there = next(_ends_in(engine, question), None)
    if there not in (None, row.vpc_id):
        yield {
            "ExplanationCode": "DISCONNECTED_VPCS", "SourceVpc": views.component(world, row.vpc_id),
            "DestinationVpc": views.component(world, there or ""),
        }  # fmt: skip
    elif there is not None or any(_holds(place, address) for address in _addresses(question)):
        yield {"ExplanationCode": "VPCE_INTRA_VPC_TRAFFIC", "Vpc": views.component(world, row.vpc_id), **shown}
    if question.protocol not in (Protocol.TCP, Protocol.ICMP):
        yield {"ExplanationCode": "VPCE_GATEWAY_PROTOCOL_RESTRICTION", **shown}
    blocks = engine.places.endpoints[id].blocks
    if wanted is not None and not inside(blocks[wanted.version], WIDTH[wanted.version], int(wanted)):
        yield {
            "ExplanationCode": "VPCE_GATEWAY_EGRESS_SOURCE_ADDRESS_RESTRICTION", "Address": str(views.host(wanted)),
            "PrefixList": views.component(world, row.prefix_list_id), **shown,
        }  # fmt: skip


# ---------------------------------------------------------------------- from or to a peering connection
def _from_peer(world: World, engine: Engine, question: Question, id: str) -> Iterator[View]:
    """To another VPC, for an address of neither, or from one that is nobody's there."""
    places = [place for place in engine.places.vpcs.values() if id in place.crossings]
    yield from _disconnected(world, engine, question, id)
    sender = question.at_source.source_address
    asked = _addresses(question) if question.destination is None else []
    for address in (*asked, *([sender] if sender is not None else [])):
        if any(_holds(place, address) for place in places):
            continue
        yield {
            "ExplanationCode": "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "Address": str(views.host(address)),
            "VpcPeeringConnection": views.component(world, id),
        }  # fmt: skip


def _disconnected(world: World, engine: Engine, question: Question, id: str) -> Iterator[View]:
    """DISCONNECTED_VPCS: the connection is one of other VPCs."""
    there = next(_ends_in(engine, question), None)
    joined = [place.vpc_id for place in engine.places.vpcs.values() if id in place.crossings]
    if there is None or there in joined:
        return
    joined.sort(key=lambda vpc_id: views.owner_of(world, vpc_id) != views.owner_of(world, there))
    names = ("SourceVpc", "DestinationVpc") if question.source.interfaces else ("DestinationVpc", "SourceVpc")
    yield {
        "ExplanationCode": "DISCONNECTED_VPCS", names[0]: views.component(world, there),
        names[1]: views.component(world, joined[0]), "VpcPeeringConnection": views.component(world, id),
    }  # fmt: skip
