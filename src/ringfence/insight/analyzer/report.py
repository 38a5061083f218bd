"""What `ringfence paths` shows: all paths between two ends (`every.py`)."""

from __future__ import annotations

from typing import Any

from ringfence.insight.analyzer.engines import Engines
from ringfence.insight.analyzer.every import Taken, every
from ringfence.insight.analyzer.question import End, NoEnd, Question, end_of
from ringfence.insight.analyzer.views import kind_of
from ringfence.insight.reach.atoms import BASES, OTHER, Interval
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.explain import met
from ringfence.insight.reach.space import readable
from ringfence.insight.reach.trace import describe_packet, hop_view
from ringfence.insight.reach.words import brief
from ringfence.model.net import PORTED, Address, parse_address, parse_protocol
from ringfence.model.nouns.network_insights import PathFilter
from ringfence.model.world import World
from ringfence.policy.evaluate import INTERNET

_OUTSIDE = "internet:"


class PathReporter:
    """Answers one request after another; works out again only what changed in between."""

    def __init__(self) -> None:
        self._engines = Engines()

    def answer(self, world: World, request: dict[str, Any]) -> dict[str, Any]:
        """All paths from `source` to `destination`, of all packets or of `protocol` and `port`. `error` for what makes no sense."""
        engine = self._engines.of(world)
        try:
            question, wanted = _question(world, engine, request), _wanted(request)
        except NoEnd as problem:
            return {"error": f"{problem.component}: {problem.code}", "status": 2}
        except ValueError as problem:
            return {"error": str(problem), "status": 2}
        found = every(engine, question, wanted)
        out: dict[str, Any] = {"paths": [_view(world, engine, path) for path in found.paths]}
        if found.unknown is not None:
            out["unknown"] = {"component": found.unknown.component, "why": found.unknown.why}
        return out


# ---------------------------------------------------------------------- what is asked
def _question(world: World, engine: Engine, request: dict[str, Any]) -> Question:
    """`i-…`, `eni-…`, `igw-…`, `pcx-…`, `vpce-…`, `internet:ADDRESS`; an address as destination. NoEnd, ValueError."""
    given, there = str(request["source"]), str(request["destination"])
    at_source, address = PathFilter(), None
    destination = _end(world, there)
    if destination is None:
        address = parse_address(there.removeprefix(_OUTSIDE))
    if given.startswith(_OUTSIDE):
        at_source = PathFilter(source_address=parse_address(given.removeprefix(_OUTSIDE)))
        source: End | None = _gateway_to(engine, destination, address)
    else:
        source = _end(world, given)
    if source is None:
        raise ValueError(f"{given!r} is not i-…, eni-…, igw-…, pcx-…, vpce-… or internet:ADDRESS")
    return Question(source, destination, -1, at_source, destination_ip=address)


def _end(world: World, given: str) -> End | None:
    """An end by its id; None for what is none. By whoever may look into every account."""
    kind = kind_of(given)
    if kind is None:
        return None
    if kind.noun not in _ENDS:
        raise ValueError(f"{given}: a path does not begin or end there")
    return end_of(world, f"{kind.noun}/{given}")


_ENDS = frozenset({"instance", "network-interface", "internet-gateway", "vpc-peering-connection", "vpc-endpoint"})


def _gateway_to(engine: Engine, destination: End | None, address: Address | None) -> End:
    """The internet gateway by which the outside comes to an end. ValueError when there is none."""
    places, gate = engine.places, None
    if address is not None:
        gate = places.behind(address.version, int(address))
    elif destination is not None and destination.interfaces:
        gate = places.vpcs[places.ports[destination.interfaces[0]].vpc_id].gateway
    if gate is None:
        raise ValueError("no internet gateway leads there")
    return End(gate.gateway_id, gateway=gate.gateway_id)


def _wanted(request: dict[str, Any]) -> Interval | None:
    """The services asked for; None: all. ValueError."""
    text, port = request.get("protocol"), request.get("port")
    if not text:
        if port is not None:
            raise ValueError("a port needs a protocol")
        return None
    protocol = parse_protocol(str(text))
    base = BASES.get(protocol)
    if base is None:
        return OTHER + protocol, OTHER + protocol
    if port is None:
        return base, base + 0xFFFF
    if protocol not in PORTED or not 0 <= int(port) <= 0xFFFF:
        raise ValueError(f"{text} has no port {port}")
    return base + int(port), base + int(port)


# ---------------------------------------------------------------------- what is shown
def _view(world: World, engine: Engine, path: Taken) -> dict[str, Any]:
    hops = path.done.verdict.hops
    layers = [(hop.layer, hop.by.component, hop.reply) for hop in hops]
    here = list(met(engine.index, path.packet, path.source != INTERNET, layers))
    shown = [hop_view(world, hop, packet) for hop, packet in zip(hops, here, strict=True)]
    return {
        "source": path.source, "destination": path.end,
        "source_addresses": [str(block) for block in path.sources],
        "destination_addresses": [str(block) for block in path.destinations],
        "summary": brief(path.space), "allowed": readable(path.space), "example": describe_packet(path.packet), "hops": shown,
        **({"through": list(path.done.there.through)} if path.done.there.through else {}),
    }  # fmt: skip
