"""What is recorded, when, and that nothing is lost or counted twice (FL-14, FL-15, FL-26, FL-28, FL-42, FL-45, FL-46, FL-60 … FL-67)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.insight.flowlogs.fields import FIELDS, BadFormat, format_of, parse_format, version_of
from ringfence.insight.flowlogs.lines import line, parse, values
from ringfence.insight.flowlogs.recorder import AFTER_SECONDS, Recorder
from ringfence.insight.flowlogs.records import Gap, Observation, Status, Taken
from ringfence.insight.flowlogs.windows import Span, Windows
from ringfence.model.kinds import FLOW_LOG, NETWORK_INTERFACE
from ringfence.model.world import delete
from tests.api.ops.harness import ACCOUNT
from tests.insight.flowlogs.lab import IN, OUT, START, TCP, UDP, Lab, seen


@pytest.fixture(scope="module")
def lab() -> Lab:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    lab.interface("10.0.1.9")
    return lab


# ---------------------------------------------------------------------- what is not recorded
@pytest.mark.parametrize(
    ("peer", "protocol", "ports", "kept"),
    [
        ("10.0.0.2", UDP, (40000, 53), False),  # FL-60
        ("10.0.0.2", TCP, (40000, 53), False),
        ("169.254.169.253", UDP, (40000, 53), False),
        ("fd00:ec2::253", UDP, (40000, 53), False),
        ("10.0.0.2", TCP, (40000, 80), True),
        ("10.0.1.53", UDP, (40000, 53), True),  # a DNS server of one's own
        ("169.254.169.250", TCP, (40000, 1688), False),  # FL-61
        ("169.254.169.254", TCP, (40000, 80), False),  # FL-62
        ("fd00:ec2::254", TCP, (40000, 80), False),
        ("169.254.169.123", UDP, (123, 123), False),  # FL-63
        ("169.254.170.2", TCP, (40000, 80), False),
        ("255.255.255.255", UDP, (68, 67), False),  # FL-64
        ("10.0.1.1", UDP, (67, 68), False),
        ("10.0.1.1", TCP, (40000, 80), False),  # FL-66
        ("10.0.2.1", TCP, (40000, 80), True),  # another subnet's
        ("203.0.113.9", UDP, (67, 40000), True),
    ],
)
@pytest.mark.parametrize("direction", [IN, OUT])
def test_services_that_are_left_out(
    peer: str, protocol: int, ports: tuple[int, int], kept: bool, direction: Any
) -> None:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    own = "10.0.1.9" if ":" not in peer else "2001:db8::9"
    source, destination, ports = (own, peer, ports) if direction is OUT else (peer, own, ports[::-1])
    packet = seen(eni, direction, source, destination, protocol=protocol, ports=ports)
    assert len(lab.lines(lab.log(), packet)) == kept


def test_mirrored_copies_and_private_link_are_left_out() -> None:
    """FL-65, FL-67: an interface endpoint and a Network Load Balancer among themselves, and no one else."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    endpoint, balancer, client = (lab.interface(f"10.0.1.{n}") for n in (11, 12, 13))
    lab.change(endpoint, interface_type="vpc_endpoint")
    lab.change(balancer, interface_type="network_load_balancer")
    log = lab.log()
    assert lab.lines(log, seen(client, IN, "10.0.1.12", "10.0.1.13", mirrored=True)) == []
    for eni, source, destination in ((endpoint, "10.0.1.12", "10.0.1.11"), (balancer, "10.0.1.11", "10.0.1.12")):
        assert lab.lines(log, seen(eni, IN, source, destination, at=START + 65), until=START + 120) == []
    assert len(lab.lines(log, seen(endpoint, IN, "10.0.1.13", "10.0.1.11", at=START + 125), until=START + 180)) == 1


# ---------------------------------------------------------------------- which logs, which windows
def test_each_flow_log_has_its_own_records() -> None:
    """FL-15, FL-14: of the VPC, the subnet and the interface, with intervals of their own; none from before it was made."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    vpc = lab.log("packets")
    subnet = lab.log("packets", resource_id=lab.subnet, resource_type="Subnet", interval=600)
    own = lab.log("packets", resource_id=eni, resource_type="NetworkInterface", created=START + 30)
    packets = [seen(eni, IN, "10.0.1.5", "10.0.1.9", packets=n, at=START + 20 * n) for n in (1, 2)]
    made = lab.recorder.take(lab.world, lab_taken(START + 60, *packets))
    assert [r.observation.packets for r in made[vpc] if r.observation] == [3]
    assert [r.observation.packets for r in made[own] if r.observation] == [2]
    assert [r.observation for r in made.get(subnet, [])] == [None]  # the ten minutes before had no traffic
    late = lab.interface("10.0.1.10")
    packet = seen(late, IN, "10.0.1.5", "10.0.1.10", packets=7, at=START + 70)
    made = lab.recorder.take(lab.world, lab_taken(START + 600, packet))
    assert sorted(r.observation.packets for r in made[subnet] if r.observation) == [3, 7]
    assert 7 in [r.observation.packets for r in made[vpc] if r.observation]
    assert {r.facts.interface_id for r in made[own]} == {eni}


def lab_taken(until: float, *observations: Observation) -> Taken:
    return Taken(until=until, observations=observations)


def test_a_late_packet_makes_a_further_record_of_its_window() -> None:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    log = lab.log("packets", "start", "end")
    first = seen(eni, IN, "10.0.1.5", "10.0.1.9", packets=1, at=START + 10)
    late = seen(eni, IN, "10.0.1.5", "10.0.1.9", packets=2, at=START + 20)
    assert lab.lines(log, first) == [f"1 {int(START + 10)} {int(START + 10)}"]
    assert lab.lines(log, late, until=START + 120) == [f"2 {int(START + 20)} {int(START + 20)}"]


def test_a_deleted_interface_is_remembered_until_its_packets_are_recorded() -> None:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    log = lab.log("account-id", "interface-id", "dstaddr", "subnet-id")
    gone = delete(NETWORK_INTERFACE, eni)
    lab.recorder.remember(lab.world, gone, START)
    lab.api.world = lab.world.apply(gone)
    packet = seen(eni, IN, "10.0.1.5", "10.0.1.10")
    assert lab.records(log, until=START + 1) == []  # its counters were not among those read first
    assert lab.lines(log, packet) == [f"{ACCOUNT} {eni} 10.0.1.9 {lab.subnet}"]
    lab.records(log, until=START + AFTER_SECONDS)
    assert lab.recorder._facts == {}


def test_a_deleted_flow_log_records_no_more() -> None:
    """FL-13"""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, log = lab.interface("10.0.1.9"), lab.log()
    packet = seen(eni, IN, "10.0.1.5", "10.0.1.9", at=START + 70)
    lab.records(log, packet)
    lab.api.world = lab.world.apply(delete(FLOW_LOG, log))
    assert lab.recorder.take(lab.world, lab_taken(START + 600)) == {}


def test_a_gap_marks_every_window_that_it_touches() -> None:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, log = lab.interface("10.0.1.9"), lab.log(created=START)
    gap = Gap(interface_id=eni, first=START + 50, last=START + 130)
    packet = seen(eni, IN, "10.0.1.5", "10.0.1.9", at=START + 10)
    records = lab.records(log, packet, gaps=(gap,), until=START + 240)
    assert Counter((r.status, r.start - START) for r in records) == Counter(
        [(Status.OK, 10), (Status.SKIPDATA, 0), (Status.SKIPDATA, 60), (Status.SKIPDATA, 120), (Status.NODATA, 180)]
    )


# ---------------------------------------------------------------------- sums
_OBSERVATIONS = st.lists(
    st.builds(
        lambda eni, source, port, at, length, packets, octets, accepted: seen(
            f"eni-{eni}", IN, f"10.0.0.{source}", "10.0.0.9", ports=(port, 80), at=START + at, last=START + at + length,
            packets=packets, octets=octets, accepted=accepted, tcp_flags=2,
        ),
        st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), st.floats(0, 3000), st.floats(0, 200), st.integers(1, 2**40),
        st.integers(20, 2**50), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=150)
@given(
    _OBSERVATIONS, st.sampled_from([60, 600]), st.lists(st.tuples(st.integers(0, 40), st.floats(0, 4000)), max_size=8)
)
def test_sums_are_those_of_the_observations(
    observations: list[Observation], interval: int, closings: list[tuple[int, float]]
) -> None:
    """Whatever the windows, the order and the moments at which they are closed; and no record is longer than its window."""
    windows = Windows.starting(interval, START)
    done: list[Any] = []
    for index, seen_ in enumerate(observations):
        windows.add(seen_)
        for position, until in closings:
            if position == index:
                done += windows.close(START + until, ())
    done += windows.close(START + 100_000, ())
    assert not any(isinstance(entry, Span) for entry in done)
    assert _sums(done) == _sums(observations)
    for entry in done:
        assert entry.first <= entry.last
        assert entry.first // interval == entry.last // interval
    assert not windows._flows


def _sums(entries: list[Any]) -> dict[Any, tuple[int, int]]:
    packets: Counter[Any] = Counter()
    octets: Counter[Any] = Counter()
    for entry in entries:
        packets[entry.interface_id, entry.flow] += entry.packets
        octets[entry.interface_id, entry.flow] += entry.octets
    return {key: (packets[key], octets[key]) for key in packets}


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20), max_size=6), st.lists(st.integers(0, 20), max_size=6))
def test_every_window_of_an_interface_is_accounted_for(traffic: list[int], gaps: list[int]) -> None:
    """FL-28: each has records, NODATA or SKIPDATA, and never NODATA beside one of the others."""
    windows = Windows.starting(60, START)
    for number in traffic:
        windows.add(seen("eni-1", IN, "10.0.0.5", "10.0.0.9", at=START + 60 * number + 1))
    for number in gaps:
        windows.lost(Gap(interface_id="eni-1", first=START + 60 * number, last=START + 60 * number + 1))
    found: dict[int, set[str]] = {}
    for entry in windows.close(START + 21 * 60, ("eni-1",)):
        what = ("SKIPDATA" if entry.skipped else "NODATA") if isinstance(entry, Span) else "OK"
        found.setdefault(int(entry.first - START) // 60, set()).add(what)
    for number in range(21):
        expected = {"OK"} if number in traffic else set()
        expected |= {"SKIPDATA"} if number in gaps else set()
        assert found[number] == (expected or {"NODATA"})


# ---------------------------------------------------------------------- formats
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("${version} ${srcaddr}", ("version", "srcaddr")),
        ("  ${dstport}\n${srcport} ", ("dstport", "srcport")),
        ("${next-hop-interface-type}", ("next-hop-interface-type",)),
    ],
)
def test_formats(text: str, names: tuple[str, ...]) -> None:
    """FL-43"""
    assert parse_format(text) == names
    assert parse_format(format_of(names)) == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "version",
        "${version}${srcaddr}",
        "${}",
        "${Version}",
        "${ringfence-reason}",
        "${srcaddr} ${srcaddr}",
        "${version} x",
        "$version",
    ],
)
def test_formats_that_are_none(text: str) -> None:
    """FL-43: unknown names are refused."""
    with pytest.raises(BadFormat):
        parse_format(text)


def test_versions() -> None:
    """FL-19, D-14"""
    assert version_of(("version", "srcaddr")) == 2
    assert version_of(("srcaddr", "vpc-id", "region")) == 4
    assert Counter(field.version for field in FIELDS.values()) == {
        2: 14,
        3: 7,
        4: 4,
        5: 4,
        7: 10,
        8: 1,
        9: 1,
        10: 1,
        11: 12,
    }


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, unique=True),
    st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 255), st.integers(0, 65535), st.integers(1, 2**62), st.booleans(),
)  # fmt: skip
def test_a_line_reads_back(
    lab: Lab, names: list[str], source: Any, destination: Any, protocol: int, port: int, packets: int, accepted: bool
) -> None:
    """Every field, in any order: the values come back as they were, `-` for none (FL-42)."""
    eni = lab.world.all(NETWORK_INTERFACE)[0].id
    packet = seen(
        eni,
        IN,
        str(source),
        str(destination),
        protocol=protocol,
        ports=(port, port),
        packets=packets,
        accepted=accepted,
    )
    log = lab.log(*names)
    (record,) = [r for r in _fresh(lab).records(log, packet) if r.observation] or [None]
    if record is None:  # one of the services that are left out
        return
    assert list(parse(line(record, names), names).values()) == values(record, names)


def _fresh(lab: Lab) -> Lab:
    lab.recorder = Recorder()
    return lab


def test_a_tags_value_keeps_the_fields_apart() -> None:
    """Version 11, FL-41: tags by the keys that the flow log names; white space cannot shift fields, or forge a line."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    lab.api.call(
        "CreateTags", Resources=[eni], Tags=[{"Key": "team", "Value": "a b\n2 x"}, {"Key": "env", "Value": "prod"}]
    )
    fields = ("version", "interface-tag", "interface-tag-2", "instance-tag", "asg-tag", "interface-type")
    log = lab.log(*fields, tag_fields=(("network-interface", ("team", "env")),))
    lines = lab.lines(log, seen(eni, IN, "10.0.1.5", "10.0.1.9"))
    assert lines == ["11 a_b_2_x prod - - interface"]


def test_the_next_hop() -> None:
    """FL-41"""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, other = lab.interface("10.0.1.9"), lab.interface("10.0.1.10")
    log = lab.log("next-hop-interface-id", "next-hop-subnet-id", "next-hop-vpc-id", "next-hop-interface-type")
    sent = seen(eni, OUT, "10.0.1.9", "10.0.1.10")
    assert lab.lines(log, sent) == [f"{other} {lab.subnet} {lab.vpc} interface"]
    assert ip_address("10.0.1.10") in lab.world.find(NETWORK_INTERFACE, other).addresses


def test_the_window_in_which_a_flow_log_is_made_has_no_nodata() -> None:
    """It is not whole: NODATA would tell of time before the flow log."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    lab.interface("10.0.1.9")
    records = lab.records(lab.log(created=START + 10), until=START + 180)
    assert [(record.status, record.start - START) for record in records] == [(Status.NODATA, 60), (Status.NODATA, 120)]


def test_traffic_that_no_log_asks_for_is_no_lack_of_data() -> None:
    """FL-28, FL-72, FL-87: a counter that only counts refusals still says that others passed."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    busy, still = lab.interface("10.0.1.10"), lab.interface("10.0.1.11")
    log = lab.log(traffic_type="REJECT")
    taken = Taken(until=START + 120, unasked=((busy, START + 59.9), ("eni-unknown", START + 59.9)))
    records = lab.recorder.take(lab.world, taken)[log]
    lines = {(r.facts.interface_id, r.start - START, r.status) for r in records if r.start >= START}
    assert lines == {(still, 0, Status.NODATA), (busy, 60, Status.NODATA), (still, 60, Status.NODATA)}


_ABOUT = ("account-id", "interface-id", "protocol", "type", "region", "az-id", "sublocation-type", "sublocation-id", "resource-id",
          "encryption-status", "ecs-cluster-name", "ecs-task-arn")  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "protocol", "sublocation", "expected"),
    [
        (("10.0.9.9", "10.0.1.10"), TCP, None, "6 IPv4 us-east-1 {az} - -"),
        (("2001:db8::9", "2001:db8::a"), UDP, None, "17 IPv6 us-east-1 {az} - -"),
        (("10.0.9.9", "10.0.1.10"), TCP, ("outpost", "op-1"), "6 IPv4 us-east-1 - outpost op-1"),
    ],
)
def test_what_a_line_says_of_the_interface(
    ends: tuple[str, str], protocol: int, sublocation: tuple[str, str] | None, expected: str
) -> None:
    """FL-20, FL-21, FL-24, FL-31, FL-33, FL-34: az-id is `-` in a sublocation; FL-38, FL-40, FL-42: `-` for what is not there."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.10")
    records = lab.records(lab.log(*_ABOUT), seen(eni, IN, *ends, protocol=protocol))
    (record,) = (each for each in records if each.status is Status.OK)
    if sublocation:
        record = replace(record, facts=replace(record.facts, sublocation=sublocation))
    assert record.facts.az_id
    assert line(record, _ABOUT) == f"{ACCOUNT} {eni} {expected.format(az=record.facts.az_id)} - - - -"
