"""Proofs in a process of their own: the agent goes on applying changes meanwhile, and no proof can harm it.

The process is a fork, for what the agent may no longer do is start programs of its owner's: it has given up its user. The child
touches nothing but its memory and one pipe; it ends with the thread that waits for it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from ringfence.dataplane import linux
from ringfence.dataplane.verify.findings import Finding, finding_of
from ringfence.dataplane.verify.gateway import prove_edge, prove_internet
from ringfence.dataplane.verify.proofs import Proof
from ringfence.dataplane.verify.prove import prove
from ringfence.dataplane.verify.snapshot import Snapshot
from ringfence.policy.ir import Edge, Fragment, Vpc

LIMIT_SECONDS = 600.0
DEPTH = 10_000  # a chain may call a chain, and a set of packets has a level for each field

#: the VPC, gateway or "internet"; its fragments; the interfaces (or outside hosts) that are plugged in; what its namespace holds
Job = tuple[str, tuple[Fragment, ...], frozenset[str], Snapshot]


class ProofFailed(Exception):
    """There is no answer."""


def run(jobs: list[Job]) -> tuple[int, list[Finding]]:
    """(gates proven, findings) of every job."""
    gates, findings = 0, list[Finding]()
    for component, fragments, plugged, found in jobs:
        proof = _proof(component, fragments, plugged, found)
        gates += proof.gates
        findings += proof.findings
    return gates, findings


def _proof(component: str, fragments: Iterable[Fragment], plugged: Iterable[str], found: Snapshot) -> Proof:
    """Of a VPC, an internet gateway, or the internet, whose outside hosts are what is plugged in there. Nothing is said of other
    places (a gateway endpoint's), which are compared alone."""
    fragments = tuple(fragments)
    edges = [each for each in fragments if isinstance(each, Edge)]
    if component == "internet":
        return prove_internet(edges, map(ip_address, plugged), found)
    for edge in edges:
        if edge.gateway_id == component:
            vpc = next(each for each in fragments if isinstance(each, Vpc) and each.vpc_id == edge.vpc_id)
            return prove_edge(edge, vpc, found)
    if any(isinstance(each, Vpc) and each.vpc_id == component for each in fragments):
        return prove(component, fragments, plugged, found)
    return Proof(component)


def run_apart(jobs: list[Job], limit: float = LIMIT_SECONDS) -> tuple[int, list[Finding]]:
    """`run`, in another process. ProofFailed when it fails or takes too long; OSError."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _child(jobs, writer)
    os.close(writer)
    try:
        said = json.loads(_all(reader, time.monotonic() + limit))
    except (ValueError, TimeoutError) as problem:
        raise ProofFailed(str(problem)) from None
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if "error" in said:
        raise ProofFailed(said["error"])
    return int(said["gates"]), [finding_of(each) for each in said["findings"]]


def _child(jobs: list[Job], writer: int) -> None:
    """Never returns."""
    try:
        linux.die_with_parent()
        os.closerange(3, writer)
        os.closerange(writer + 1, 65536)
        os.nice(10)
        sys.setrecursionlimit(DEPTH)
        gates, findings = run(jobs)
        said: dict[str, Any] = {"gates": gates, "findings": [each.as_json() for each in findings]}
    except Exception as problem:  # noqa: BLE001  whatever it is, the parent is to know
        said = {"error": repr(problem)}
    data = json.dumps(said).encode()
    while data:
        data = data[os.write(writer, data) :]
    os._exit(0)


def _all(reader: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError("the proof takes too long")
        part = os.read(reader, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
