"""The guide's examples of flow log records, line by line (spec FL-70 … FL-87)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from ringfence.insight.flowlogs.fields import DEFAULT
from ringfence.insight.flowlogs.lines import line
from ringfence.insight.flowlogs.records import ACK, FIN, SYN, Gap, Reject, counted_flags
from ringfence.model.kinds import ROUTE_TABLE
from ringfence.model.nouns.network_interface import Attachment
from tests.api.ops.harness import ACCOUNT
from tests.insight.flowlogs.lab import ICMP, IN, OUT, START, Lab, seen

FIRST, LAST = int(START + 5), int(START + 55)
SPAN = {"at": START + 5, "last": START + 55}
PKT = ("instance-id", "interface-id", "srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr")


@pytest.mark.parametrize(
    ("source", "own", "ports", "accepted", "action"),
    [
        ("172.31.16.139", "172.31.16.21", (20641, 22), True, "ACCEPT"),  # FL-70
        ("172.31.9.69", "172.31.9.12", (49761, 3389), False, "REJECT"),  # FL-71
    ],
)
def test_accepted_and_rejected(source: str, own: str, ports: tuple[int, int], accepted: bool, action: str) -> None:
    lab = Lab("172.31.0.0/16", "172.31.0.0/19")
    eni = lab.interface(own)
    lines = lab.lines(
        lab.log(), seen(eni, IN, source, own, ports=ports, accepted=accepted, packets=20, octets=4249, **SPAN)
    )
    assert lines == [f"2 {ACCOUNT} {eni} {source} {own} {ports[0]} {ports[1]} 6 20 4249 {FIRST} {LAST} {action} OK"]


def test_no_data_and_skipped_data() -> None:
    """FL-72, FL-73: whole windows; one line may stand for many flows."""
    lab = Lab("172.31.0.0/16", "172.31.0.0/19")
    quiet, loud = lab.interface("172.31.16.21"), lab.interface("172.31.16.22")
    gap = Gap(interface_id=loud, first=START + 1, last=START + 2, packets=97_856)
    start, end = int(START), int(START + 60)
    log = lab.log(created=START)
    records = lab.records(log, gaps=(gap, gap))
    assert sorted(line(record, DEFAULT) for record in records) == sorted(
        [
            f"2 {ACCOUNT} {quiet} - - - - - - - {start} {end} - NODATA",
            f"2 {ACCOUNT} {loud} - - - - - - - {start} {end} - SKIPDATA",
        ]
    )


def _ping(eni: str, **reply: bool) -> list[object]:
    own, far = "172.31.16.139", "203.0.113.12"
    return [
        seen(eni, IN, far, own, protocol=ICMP, packets=4, octets=336, **SPAN),
        seen(eni, OUT, own, far, protocol=ICMP, packets=4, octets=336, **SPAN, **reply),
    ]


@pytest.mark.parametrize(("accepted", "action"), [(False, "REJECT"), (True, "ACCEPT")])  # FL-74, FL-75
def test_ping_and_its_reply(accepted: bool, action: str) -> None:
    lab = Lab("172.31.0.0/16", "172.31.0.0/19")
    eni = lab.interface("172.31.16.139")
    assert lab.lines(lab.log(), *_ping(eni, accepted=accepted)) == [  # type: ignore[arg-type]
        f"2 {ACCOUNT} {eni} 203.0.113.12 172.31.16.139 0 0 1 4 336 {FIRST} {LAST} ACCEPT OK",
        f"2 {ACCOUNT} {eni} 172.31.16.139 203.0.113.12 0 0 1 4 336 {FIRST} {LAST} {action} OK",
    ]


def test_ping_refused_by_the_group() -> None:
    """FL-76: one line only. What the counter says of the type and code as ports is not shown (FL-23)."""
    lab = Lab("172.31.0.0/16", "172.31.0.0/19")
    eni = lab.interface("172.31.16.139")
    ping = seen(
        eni,
        IN,
        "203.0.113.12",
        "172.31.16.139",
        protocol=ICMP,
        ports=(8, 0),
        accepted=False,
        packets=4,
        octets=336,
        **SPAN,
    )
    assert lab.lines(lab.log(), ping) == [
        f"2 {ACCOUNT} {eni} 203.0.113.12 172.31.16.139 0 0 1 4 336 {FIRST} {LAST} REJECT OK"
    ]


def test_ipv6() -> None:
    """FL-77"""
    far, own = "2001:db8:1234:a100:8d6e:3477:df66:f105", "2001:db8:1234:a102:3304:8879:34cf:4071"
    lab = Lab("172.31.0.0/16", "172.31.0.0/19")
    eni = lab.interface("172.31.16.139")
    lab.change(eni, ipv6=(IPv6Address("2001:db8::5"), IPv6Address(own)))
    ssh = seen(eni, IN, far, own, ports=(34892, 22), packets=54, octets=8855, **SPAN)
    assert lab.lines(lab.log(), ssh) == [f"2 {ACCOUNT} {eni} {far} {own} 34892 22 6 54 8855 {FIRST} {LAST} ACCEPT OK"]


@pytest.mark.parametrize(
    ("forward", "back", "expected"),
    [
        ([SYN, ACK, ACK | 8], [SYN | ACK, ACK], (2, 18)),  # FL-78: opened, still open
        ([ACK, FIN | ACK], [FIN | ACK, ACK], (1, 1)),  # FL-79: closed in a later interval
        ([SYN, ACK, FIN | ACK], [SYN | ACK, ACK, FIN | ACK], (3, 19)),  # FL-80: all in one interval
        ([SYN | 0xC0], [4], (2, 4)),  # FL-30: SYN + ECE is SYN; RST
    ],
)
def test_tcp_flags(forward: list[int], back: list[int], expected: tuple[int, int]) -> None:
    lab = Lab("10.0.0.0/16", "10.0.0.0/24")
    eni, far = lab.interface("10.0.0.62"), "10.0.0.61"
    packets = [
        seen(eni, IN, far, "10.0.0.62", ports=(43416, 5001), tcp_flags=counted_flags(flags)) for flags in forward
    ] + [seen(eni, OUT, "10.0.0.62", far, ports=(5001, 43416), tcp_flags=counted_flags(flags)) for flags in back]
    lines = lab.lines(lab.log("version", "srcport", "dstport", "packets", "tcp-flags"), *packets)
    assert lines == [
        f"3 43416 5001 {len(forward)} {expected[0]}",
        f"3 5001 43416 {len(back)} {expected[1]}",
    ]


def test_a_nat_gateways_interface_and_the_instances() -> None:
    """FL-81, FL-82, and FL-29: no instance behind an interface of a service."""
    lab = Lab("10.0.0.0/16", "10.0.0.0/23")
    nat, own, far, client = lab.interface("10.0.0.220"), "10.0.0.220", "203.0.113.5", "10.0.1.5"
    instance = lab.interface(client)
    at = Attachment(id="eni-attach-1", instance_id="i-01234567890123456", device_index=0, attach_time="")
    lab.change(nat, requester_managed=True, interface_type="nat_gateway", attachment=replace(at, instance_id="ila-1"))
    lab.change(instance, attachment=at)
    hops = [(IN, client, far), (OUT, own, far), (IN, far, own), (OUT, far, client)]
    log = lab.log(*PKT)
    lines = lab.lines(log, *(seen(nat, way, a, b, at=START + n) for n, (way, a, b) in enumerate(hops)))
    assert lines == [
        f"- {nat} 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5",
        f"- {nat} 10.0.0.220 203.0.113.5 10.0.0.220 203.0.113.5",
        f"- {nat} 203.0.113.5 10.0.0.220 203.0.113.5 10.0.0.220",
        f"- {nat} 10.0.0.220 10.0.1.5 203.0.113.5 10.0.1.5",
    ]
    ways = [(OUT, client, far), (IN, far, client)]
    lines = lab.lines(
        log, *(seen(instance, way, a, b, at=START + 60 + n) for n, (way, a, b) in enumerate(ways)), until=START + 120
    )
    assert lines == [
        f"i-01234567890123456 {instance} 10.0.1.5 203.0.113.5 10.0.1.5 203.0.113.5",
        f"i-01234567890123456 {instance} 203.0.113.5 10.0.1.5 203.0.113.5 10.0.1.5",
    ]


def test_a_transit_gateways_interfaces() -> None:
    """FL-83: equal addresses at the server; at the attachments' interfaces their own address stands for the client's."""
    lab = Lab("10.40.0.0/16", "10.40.0.0/22")
    server, far, own = lab.interface("10.40.2.236"), "10.20.33.164", "10.40.2.236"
    entering, leaving = lab.interface("10.40.1.175"), lab.interface("10.40.2.31")
    for eni in (entering, leaving):
        lab.change(eni, requester_managed=True, interface_type="transit_gateway")
    log = lab.log(*PKT, "tcp-flags")
    lines = lab.lines(
        log,
        seen(entering, OUT, far, own, ports=(39812, 80), tcp_flags=3, at=START + 1),
        seen(server, IN, far, own, ports=(39812, 80), tcp_flags=3, at=START + 2),
        seen(server, OUT, own, far, ports=(80, 39812), tcp_flags=19, at=START + 3),
        seen(leaving, IN, own, far, ports=(80, 39812), tcp_flags=19, at=START + 4),
    )
    assert sorted(lines) == sorted([
        f"- {entering} 10.40.1.175 10.40.2.236 10.20.33.164 10.40.2.236 3",
        f"- {server} 10.20.33.164 10.40.2.236 10.20.33.164 10.40.2.236 3",
        f"- {server} 10.40.2.236 10.20.33.164 10.40.2.236 10.20.33.164 19",
        f"- {leaving} 10.40.2.236 10.40.2.31 10.40.2.236 10.20.33.164 19",
    ])  # fmt: skip


def test_a_service_through_the_internet_gateway() -> None:
    """FL-84, FL-35 … FL-37"""
    lab = Lab(
        "10.0.0.0/16",
        "10.0.0.0/24",
        services=((ip_network("52.95.128.0/21"), "S3"), (ip_network("52.95.0.0/16"), "AMAZON")),
    )
    eni, own, s3 = lab.interface("10.0.0.9"), "10.0.0.9", "52.95.128.179"
    table = next(t for t in lab.world.all(ROUTE_TABLE) if t.vpc_id == lab.vpc)
    lab.api.call(
        "CreateRoute", RouteTableId=table.id, DestinationCidrBlock="0.0.0.0/0", GatewayId=lab.api.gateway(lab.vpc)
    )
    log = lab.log(
        "version", "flow-direction", "traffic-path", "pkt-src-aws-service", "pkt-dst-aws-service", "tcp-flags"
    )
    lines = lab.lines(
        log,
        seen(eni, IN, s3, own, ports=(443, 40000), tcp_flags=19, at=START + 1),
        seen(eni, OUT, own, s3, ports=(40000, 443), tcp_flags=3, at=START + 2),
        seen(eni, OUT, own, "10.0.0.77", ports=(40000, 443), tcp_flags=2, at=START + 3),
    )
    assert lines == ["5 ingress - S3 - 19", "5 egress 8 - S3 3", "5 egress 1 - - 2"]


def test_a_service_through_a_gateway_endpoint() -> None:
    """FL-35, FL-37: traffic-path 7."""
    lab = Lab("10.0.0.0/16", "10.0.0.0/24", services=((ip_network("198.18.0.64/30"), "S3"),))
    eni, own, s3 = lab.interface("10.0.0.9"), "10.0.0.9", "198.18.0.65"
    table = next(t for t in lab.world.all(ROUTE_TABLE) if t.vpc_id == lab.vpc)
    lab.api.call("CreateVpcEndpoint", VpcId=lab.vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[table.id])
    log = lab.log("flow-direction", "traffic-path", "pkt-src-aws-service", "pkt-dst-aws-service")
    lines = lab.lines(
        log,
        seen(eni, IN, s3, own, ports=(443, 40000), at=START + 1),
        seen(eni, OUT, own, s3, ports=(40000, 443), at=START + 2),
    )
    assert lines == ["ingress - S3 -", "egress 7 - S3"]


def test_a_secondary_address() -> None:
    """FL-85, FL-22: the primary address in dstaddr, the secondary in pkt-dstaddr; two of them are two flows."""
    lab = Lab("10.0.0.0/16", "10.0.0.0/24")
    eni = lab.interface("10.0.0.9")
    lab.change(eni, addresses=tuple(IPv4Address(f"10.0.0.{n}") for n in (9, 10, 11)))
    log = lab.log("dstaddr", "pkt-dstaddr", "packets")
    lines = lab.lines(
        log,
        *(seen(eni, IN, "10.0.0.50", to, ports=(1, 2), at=START + n) for n, to in enumerate(("10.0.0.10", "10.0.0.11", "10.0.0.10"))),
    )  # fmt: skip
    assert lines == ["10.0.0.9 10.0.0.10 2", "10.0.0.9 10.0.0.11 1"]


@pytest.mark.parametrize(("layer", "reason"), [("bpa", "BPA"), ("sg-ingress", "-")])
def test_the_reason_of_a_reject(layer: str, reason: str) -> None:
    """FL-86, FL-39; the layer that AWS does not name stays beside the record (D-16)."""
    lab = Lab("10.0.0.0/16", "10.0.0.0/24")
    eni, why = lab.interface("10.0.0.9"), Reject(layer=layer, component="sg-1", rule="sgr-1")
    log = lab.log("version", "action", "reject-reason")
    (record,) = [
        r
        for r in lab.records(log, seen(eni, IN, "203.0.113.9", "10.0.0.9", accepted=False, reject=why))
        if r.observation
    ]
    assert line(record, ("version", "action", "reject-reason")) == f"8 REJECT {reason}"
    assert record.observation is not None
    assert record.observation.reject == why


@pytest.mark.parametrize(("type", "counts"), [("REJECT", [2]), ("ACCEPT", [1]), ("ALL", [1, 2])])
def test_the_traffic_type(type: str, counts: list[int]) -> None:
    """FL-87: no record for the other kind, nor NODATA: there was traffic."""
    lab = Lab("10.0.0.0/16", "10.0.0.0/24")
    eni = lab.interface("10.0.0.9")
    log = lab.log(traffic_type=type, created=START)
    records = lab.records(
        log,
        seen(eni, IN, "10.0.0.50", "10.0.0.9", packets=1, at=START + 1),
        seen(eni, IN, "10.0.0.50", "10.0.0.9", packets=2, at=START + 2, accepted=False),
    )
    assert [record.observation and record.observation.packets for record in records] == counts
    other = seen(eni, IN, "10.0.0.50", "10.0.0.9", at=START + 61, accepted=type == "REJECT")
    assert len(lab.records(log, other, until=START + 120)) == (1 if type == "ALL" else 0)
