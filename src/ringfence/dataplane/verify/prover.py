"""The proofs of all namespaces of a host, in a process of their own (`apart`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from ringfence.dataplane.verify import snapshot
from ringfence.dataplane.verify.findings import Finding
from ringfence.dataplane.verify.gateway import prove_edge, prove_internet
from ringfence.dataplane.verify.proofs import Proof
from ringfence.dataplane.verify.prove import prove
from ringfence.dataplane.verify.service import prove_endpoint
from ringfence.dataplane.verify.snapshot import Snapshot
from ringfence.dataplane.verify.wanted import Location
from ringfence.policy.ir import Edge, Endpoint, Fragment, Interface, Vpc

LIMIT_SECONDS = 600.0

#: the VPC, gateway or "internet"; its fragments; the interfaces (or outside hosts) that are plugged in; what its namespace holds
Job = tuple[str, tuple[Fragment, ...], frozenset[str], Snapshot]


def run(jobs: list[Job]) -> tuple[int, list[Finding]]:
    """(gates proven, findings) of every job."""
    gates, findings = 0, list[Finding]()
    for component, fragments, plugged, found in jobs:
        proof = _proof(component, fragments, plugged, found)
        gates += proof.gates
        findings += proof.findings
    return gates, findings


def _proof(component: str, fragments: Iterable[Fragment], plugged: Iterable[str], found: Snapshot) -> Proof:
    """Of a VPC, an internet gateway, a gateway endpoint, or the internet, whose outside hosts are what is plugged in there. Nothing is
    said of any other place."""
    fragments = tuple(fragments)
    edges = [each for each in fragments if isinstance(each, Edge)]
    if component == "internet":
        return prove_internet(edges, map(ip_address, plugged), found)
    for edge in edges:
        if edge.gateway_id == component:
            vpc = next(each for each in fragments if isinstance(each, Vpc) and each.vpc_id == edge.vpc_id)
            return prove_edge(edge, vpc, found)
    for endpoint in fragments:
        if isinstance(endpoint, Endpoint) and endpoint.endpoint_id == component:
            return prove_endpoint(endpoint, (each for each in fragments if isinstance(each, Interface)), found)
    if any(isinstance(each, Vpc) and each.vpc_id == component for each in fragments):
        return prove(component, fragments, plugged, found)
    return Proof(component)


def read_and_run(locations: Iterable[Location], read: Callable[[], None]) -> dict[str, Any]:
    """`run`, of what these places hold now; `read` is called when they have been read. To be run apart. OSError."""
    dumps = [(each, snapshot.dump_whole(each.namespace, tuple(each.place.settings))) for each in locations]
    read()
    gates, findings = run(
        [(each.place.component, each.fragments, each.plugged, snapshot.parsed(dump)) for each, dump in dumps]
    )
    return {"gates": gates, "findings": [each.as_json() for each in findings]}
