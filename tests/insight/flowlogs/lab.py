"""A VPC with interfaces at given addresses, flow logs on it, and observations written short."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from ringfence.insight.flowlogs.fields import DEFAULT
from ringfence.insight.flowlogs.lines import line
from ringfence.insight.flowlogs.recorder import Recorder
from ringfence.insight.flowlogs.records import Direction, Gap, Observation, Record, Services, Taken
from ringfence.model.kinds import FLOW_LOG, NETWORK_INTERFACE
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import put
from tests.api.ops.harness import ACCOUNT, REGION, Api

START = 1_700_000_400.0  # a multiple of 60 and of 600
IN, OUT = Direction.INGRESS, Direction.EGRESS
TCP, UDP, ICMP = 6, 17, 1


class Lab:
    """One VPC, and a recorder of its flow logs."""

    def __init__(self, cidr: str, subnet: str, services: Services = ()) -> None:
        self.api = Api()
        self.vpc = self.api.vpc(cidr)
        self.subnet = self.api.subnet(self.vpc, subnet)
        self.group = self.api.group(self.vpc)
        self.recorder = Recorder(services)

    @property
    def world(self) -> Any:
        return self.api.world

    def interface(self, address: str, **more: Any) -> str:
        return self.api.interface(self.subnet, self.group, PrivateIpAddress=address, **more)

    def change(self, interface: str, **how: Any) -> None:
        """What no operation does yet: interfaces of services, instances without a launch."""
        eni = replace(self.api.world.find(NETWORK_INTERFACE, interface), **how)
        self.api.world = self.api.world.apply(put(NETWORK_INTERFACE, eni))

    def log(self, *fields: str, **how: Any) -> str:
        """A flow log of the VPC with these fields; of version 2 when none are given."""
        id = self.api.ids.new("fl-")
        log = FlowLog(
            id=id, owner_id=ACCOUNT, region=REGION,
            **{
                "resource_id": self.vpc, "resource_type": "VPC", "traffic_type": "ALL", "destination_type": "s3",
                "destination": "arn:aws:s3:::logs", "fields": fields or DEFAULT, "created": START - 600, "interval": 60,
                **how,
            },
        )  # fmt: skip
        self.api.world = self.api.world.apply(put(FLOW_LOG, log))
        return id

    def records(
        self, log: str, *observations: Observation, gaps: tuple[Gap, ...] = (), until: float = START + 60
    ) -> list[Record]:
        made = self.recorder.take(self.world, Taken(until=until, observations=observations, gaps=gaps))
        return made.get(log, [])

    def lines(self, log: str, *observations: Observation, status: str = "OK", **how: Any) -> list[str]:
        """The lines with that log-status; those without data stand for all interfaces that nothing was sent to."""
        fields = self.world.find(FLOW_LOG, log).fields
        return [line(record, fields) for record in self.records(log, *observations, **how) if record.status == status]


def seen(
    interface: str, direction: Direction, source: str, destination: str, *, ports: tuple[int, int] = (0, 0), protocol: int = TCP,
    accepted: bool = True, packets: int = 1, octets: int = 60, at: float = START + 5, last: float | None = None, **more: Any,
) -> Observation:  # fmt: skip
    return Observation(
        interface_id=interface, direction=direction, accepted=accepted, source=ip_address(source),
        destination=ip_address(destination), protocol=protocol, packets=packets, octets=octets, first=at,
        last=at if last is None else last, source_port=ports[0], destination_port=ports[1], **more,
    )  # fmt: skip
