"""Network interfaces (NET-21, CT-13..CT-16), and whether flow logs cover them (FL-14, FL-15)."""

from __future__ import annotations

from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.network_interface import ConnectionTimeouts, NetworkInterface
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Counting, Interface, Timeouts


def interface(rows: Rows, row: NetworkInterface) -> Interface:
    """An ENI as the data plane needs it; also one of a stopped instance, which sends and receives nothing."""
    timeouts = row.timeouts or ConnectionTimeouts()
    return Interface(
        eni_id=row.id,
        vpc_id=row.vpc_id,
        subnet_id=row.subnet_id,
        number=row.number,
        mac=row.mac,
        ipv4=row.addresses,
        ipv6=row.ipv6,
        groups=tuple(sorted(row.groups)),
        source_dest_check=row.source_dest_check,
        timeouts=Timeouts(tcp_established=timeouts.tcp_established, udp_stream=timeouts.udp_stream, udp=timeouts.udp),
        instance_id=row.attachment.instance_id if row.attachment else None,
        device_index=row.attachment.device_index if row.attachment else None,
        counted=_counting(rows, row),
        doubt=row.doubt,
    )


def _counting(rows: Rows, row: NetworkInterface) -> Counting | None:
    logs = [log for id in (row.id, row.subnet_id, row.vpc_id) for log in rows.by(FLOW_LOG, "resource", id)]
    if not logs:
        return None
    types = {log.traffic_type for log in logs}
    return Counting(
        flags=any("tcp-flags" in log.fields for log in logs),
        passed=not types.isdisjoint({"ALL", "ACCEPT"}),
        refused=not types.isdisjoint({"ALL", "REJECT"}),
    )
