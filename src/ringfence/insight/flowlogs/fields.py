"""Every field of a flow log record: name, version that brought it, Parquet type, and how it is made of a record.

Sources: Amazon VPC User Guide, "Flow log records", "Available fields" (FL-19 … FL-44, D-14). Version 6 is Transit Gateway
Flow Logs', which have records of their own. A value of None is shown as `-` (FL-42).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from ringfence.insight.flowlogs.records import Direction, NextHop, Observation, Record

Value = int | str | None
Make = Callable[[Record], Value]
INT_32, INT_64, STRING = "INT_32", "INT_64", "STRING"


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table."""

    name: str
    version: int
    type: str
    make: Make

    @property
    def column(self) -> str:
        """Its name as a column of a Parquet file."""
        return self.name.replace("-", "_")


def _seen(of: Callable[[Observation], Value]) -> Make:
    """A value of the packets: none when there were none."""
    return lambda record: of(record.observation) if record.observation is not None else None


def _next(of: Callable[[NextHop], str]) -> Make:
    return lambda record: of(record.next_hop) if record.next_hop is not None else None


def _ecs(name: str) -> Make:
    return lambda record: record.facts.ecs.get(name)


def _tag(resource_type: str, position: int) -> Make:
    return lambda record: record.tag(resource_type, position)


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _reject_reason(seen: Observation) -> str | None:
    """AWS names one reason alone; the others stay in our side channel (D-16)."""
    return "BPA" if seen.reject is not None and seen.reject.layer == "bpa" else None


def _path(record: Record) -> int | None:
    seen = record.observation
    return record.traffic_path if seen is not None and seen.direction is Direction.EGRESS else None


_DEFAULT = (
    Field("version", 2, INT_32, lambda r: r.version),
    Field("account-id", 2, STRING, lambda r: r.facts.account_id),
    Field("interface-id", 2, STRING, lambda r: r.facts.interface_id),
    Field("srcaddr", 2, STRING, lambda r: _text(r.source)),
    Field("dstaddr", 2, STRING, lambda r: _text(r.destination)),
    Field("srcport", 2, INT_32, _seen(lambda o: o.ports[0])),
    Field("dstport", 2, INT_32, _seen(lambda o: o.ports[1])),
    Field("protocol", 2, INT_32, _seen(lambda o: o.protocol)),
    Field("packets", 2, INT_64, _seen(lambda o: o.packets)),
    Field("bytes", 2, INT_64, _seen(lambda o: o.octets)),
    Field("start", 2, INT_64, lambda r: int(r.start)),
    Field("end", 2, INT_64, lambda r: int(r.end)),
    Field("action", 2, STRING, _seen(lambda o: "ACCEPT" if o.accepted else "REJECT")),
    Field("log-status", 2, STRING, lambda r: r.status.value),
)
_ECS = (
    "ecs-cluster-arn", "ecs-cluster-name", "ecs-container-instance-arn", "ecs-container-instance-id", "ecs-container-id",
    "ecs-second-container-id", "ecs-service-name", "ecs-task-definition-arn", "ecs-task-arn", "ecs-task-id",
)  # fmt: skip
_TABLE = (
    *_DEFAULT,
    Field("vpc-id", 3, STRING, lambda r: r.facts.vpc_id),
    Field("subnet-id", 3, STRING, lambda r: r.facts.subnet_id),
    Field("instance-id", 3, STRING, lambda r: r.facts.instance_id),
    Field("tcp-flags", 3, INT_32, _seen(lambda o: o.tcp_flags if o.protocol == 6 else 0)),
    Field("type", 3, STRING, _seen(lambda o: "IPv4" if isinstance(o.source, IPv4Address) else "IPv6")),
    Field("pkt-srcaddr", 3, STRING, _seen(lambda o: str(o.source))),
    Field("pkt-dstaddr", 3, STRING, _seen(lambda o: str(o.destination))),
    Field("region", 4, STRING, lambda r: r.facts.region),
    Field("az-id", 4, STRING, lambda r: None if r.facts.sublocation else r.facts.az_id),
    Field("sublocation-type", 4, STRING, lambda r: r.facts.sublocation[0] if r.facts.sublocation else None),
    Field("sublocation-id", 4, STRING, lambda r: r.facts.sublocation[1] if r.facts.sublocation else None),
    Field("pkt-src-aws-service", 5, STRING, lambda r: r.service_of(r.observation.source if r.observation else None)),
    Field(
        "pkt-dst-aws-service", 5, STRING, lambda r: r.service_of(r.observation.destination if r.observation else None)
    ),
    Field("flow-direction", 5, STRING, _seen(lambda o: o.direction.value)),
    Field("traffic-path", 5, INT_32, _path),
    *(Field(name, 7, STRING, _ecs(name)) for name in _ECS),
    Field("reject-reason", 8, STRING, _seen(_reject_reason)),
    Field("resource-id", 9, STRING, lambda r: r.facts.resource_id),
    Field("encryption-status", 10, STRING, lambda r: _text(r.facts.encryption)),
    Field("interface-type", 11, STRING, lambda r: r.facts.interface_type),
    Field("interface-tag", 11, STRING, _tag("network-interface", 0)),
    Field("interface-tag-2", 11, STRING, _tag("network-interface", 1)),
    Field("instance-tag", 11, STRING, _tag("instance", 0)),
    Field("instance-tag-2", 11, STRING, _tag("instance", 1)),
    Field("asg-tag", 11, STRING, _tag("auto-scaling-group", 0)),
    Field("asg-tag-2", 11, STRING, _tag("auto-scaling-group", 1)),
    Field("next-hop-interface-id", 11, STRING, _next(lambda n: n.interface_id)),
    Field("next-hop-subnet-id", 11, STRING, _next(lambda n: n.subnet_id)),
    Field("next-hop-az-id", 11, STRING, _next(lambda n: n.az_id)),
    Field("next-hop-vpc-id", 11, STRING, _next(lambda n: n.vpc_id)),
    Field("next-hop-interface-type", 11, STRING, _next(lambda n: n.interface_type)),
)
FIELDS: dict[str, Field] = {field.name: field for field in _TABLE}
#: the default format: version 2, in this order
DEFAULT: tuple[str, ...] = tuple(field.name for field in _DEFAULT)

_NAME = re.compile(r"\$\{([^{}\s]+)\}")


class BadFormat(ValueError):
    """A LogFormat that is none; the text says why."""


def parse_format(text: str) -> tuple[str, ...]:
    """The field names of `${version} ${srcaddr} …` (FL-43). BadFormat for anything else, and for names nobody knows."""
    names = []
    for word in text.split():
        found = _NAME.fullmatch(word)
        if found is None:
            raise BadFormat(f"LogFormat is invalid: {word[:100]} is not a field of the form ${{field-id}}")
        if found[1] not in FIELDS:
            raise BadFormat(f"LogFormat has an unknown field: {found[1][:100]}")
        names.append(found[1])
    if not names:
        raise BadFormat("LogFormat must have at least one field")
    if len(set(names)) != len(names):
        raise BadFormat("LogFormat names a field twice")
    return tuple(names)


def format_of(names: Sequence[str]) -> str:
    """As DescribeFlowLogs shows it (FL-10)."""
    return " ".join(f"${{{name}}}" for name in names)


def version_of(names: Sequence[str]) -> int:
    """The highest version among the fields (FL-19)."""
    return max(FIELDS[name].version for name in names)
