"""Instance types as dated data: what Amazon EC2 said of each in us-east-1 (API Reference: DescribeInstanceTypes; 2026-10).

`instance_types.txt` has one type a line: name, vCPUs, cores, threads per core, MiB of memory, interfaces of each network card,
IPv4 and IPv6 addresses per interface, ENA support, hypervisor, architectures, clock in GHz, maker of the processor, flags and
network performance. Flags: (c)urrent generation, (b)urstable, (f)ree tier, (d)edicated hosts, bare (m)etal, IPv(6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """One type. `cards`: how many interfaces each network card takes; None where Amazon says nothing."""

    name: str
    vcpus: int
    cores: int | None
    threads: int | None
    memory: int
    cards: tuple[int, ...]
    ipv4: int
    ipv6: int
    ena: str
    hypervisor: str | None
    architectures: tuple[str, ...]
    clock: float | None
    maker: str
    flags: str
    performance: str

    @property
    def interfaces(self) -> int:
        """How many interfaces an instance may have here, where it has one network card."""
        return self.cards[0]


@cache
def instance_types() -> Mapping[str, InstanceType]:
    """Name -> type, in the order of their names."""
    lines = resources.files("ringfence.model").joinpath("instance_types.txt").read_text().splitlines()
    return {found.name: found for found in map(_read, lines)}


def _read(line: str) -> InstanceType:
    (
        name,
        vcpus,
        cores,
        threads,
        memory,
        cards,
        ipv4,
        ipv6,
        ena,
        hypervisor,
        architectures,
        clock,
        maker,
        flags,
        said,
    ) = line.split(" ", 14)
    return InstanceType(
        name=name, vcpus=int(vcpus), cores=_number(cores), threads=_number(threads), memory=int(memory),
        cards=tuple(map(int, cards.split(","))), ipv4=int(ipv4), ipv6=int(ipv6), ena=ena,
        hypervisor=None if hypervisor == "-" else hypervisor, architectures=tuple(architectures.split(",")),
        clock=None if clock == "-" else float(clock), maker=maker, flags=flags, performance=said,
    )  # fmt: skip


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)
