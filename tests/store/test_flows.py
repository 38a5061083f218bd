"""The side channel of flow logs at rest (DATA-05, D-16): sealed, found again, nothing in plain, nothing altered shown."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.flow_history import FlowHistory, answer
from ringfence.identity.sealing import Sealer, new_key
from ringfence.store.flows import Flow, FlowStore

OLD = new_key()
FLOW = Flow(
    first=1, last=2, account="123456789012", region="us-east-1", vpc="vpc-secret", subnet="subnet-secret", interface="eni-secret",
    direction="ingress", accepted=False, source=ip_address("192.0.2.77"), destination=ip_address("10.0.0.10"), source_port=40000,
    destination_port=22, protocol=6, packets=3, octets=180, layer="sg-ingress", component="sg-secret",
)  # fmt: skip


def _raw(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("flows.db*"))


def _open(folder: Path, *keys: Any, most: int = 100_000) -> FlowStore:
    return FlowStore(folder / "flows.db", sealer=Sealer(keys), most=most)


def test_nothing_is_in_plain_and_all_comes_back_to_the_next_process(tmp_path: Path) -> None:
    store = _open(tmp_path, OLD)
    flows = [replace(FLOW, destination_port=port) for port in range(12_000)]
    store.put(flows, 2)
    assert b"secret" not in _raw(tmp_path)
    assert FLOW.source.packed not in _raw(tmp_path)
    store.close()
    store = _open(tmp_path, new_key(), OLD)  # the sealing key was changed
    store.put([replace(FLOW, destination_port=1)], 3)
    found = store.find({}, limit=20_000)
    assert [replace(flow, number=0) for flow in found] == [*flows, replace(FLOW, destination_port=1)]
    assert [flow.number for flow in found] == list(range(1, 12_002))
    assert [flow.number for flow in store.find({}, after=4999, limit=3, newest=False)] == [5000, 5001, 5002]
    assert b"secret" not in _raw(tmp_path)
    store.close()


@pytest.mark.parametrize(
    "change",
    ["update part set rows = cast(substr(rows, 1, length(rows) - 1) || x'00' as blob) where first = 1",
     "update part set rows = (select rows from part where first = 2) where first = 1",
     "update part set rows = x'789c' where first = 1", "update part set rows = x'02' where first = 1"],
)  # fmt: skip
def test_what_was_altered_is_an_error_and_a_time_leaves_it_out(tmp_path: Path, change: str) -> None:
    store = _open(tmp_path, OLD)
    store.put([FLOW], 2)
    store.put([replace(FLOW, first=100, last=101)], 101)
    store.close()
    with sqlite3.connect(tmp_path / "flows.db") as db:
        db.execute(change)
    db.close()
    store = _open(tmp_path, OLD)
    history = FlowHistory(store)
    assert "from number 1 on" in answer(history, store, {})["error"]
    assert len(answer(history, store, {"wanted": {"since": "50"}})["flows"]) == 1
    store.close()


def test_files_of_versions_before_are_carried_over_and_none_of_their_plain_text_is_left(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "flows.db")
    db.execute(
        "create table flow (number integer primary key autoincrement, first real, last real, account text, region text, vpc text, "
        "subnet text, interface text, instance text, direction text, accepted integer, source blob, destination blob, "
        "source_port integer, destination_port integer, protocol integer, packets integer, octets integer, flags integer, "
        "layer text, component text, rule text)"
    )
    row = (1, 2, FLOW.account, FLOW.region, FLOW.vpc, FLOW.subnet, FLOW.interface, None, "ingress", 0, b"\x04" + FLOW.source.packed,
           b"\x04" + FLOW.destination.packed, 40000, 22, 6, 3, 180, None, FLOW.layer, FLOW.component, None)  # fmt: skip
    db.execute(f"insert into flow values (null, {', '.join('?' * 21)})", row)
    db.commit()
    db.close()
    assert b"secret" in _raw(tmp_path)
    store = _open(tmp_path, OLD)
    assert store.find({}) == [replace(FLOW, number=1)]
    assert b"secret" not in _raw(tmp_path)
    store.close()


_FLOWS = st.lists(
    st.builds(
        lambda octet, port, accepted, packets, layer: replace(
            FLOW, source=ip_address(f"192.0.2.{octet}"), destination_port=port, accepted=accepted, packets=packets, layer=layer
        ),
        st.integers(0, 7), st.integers(20, 23), st.booleans(), st.integers(1, 5), st.sampled_from([None, "sg-ingress", "nacl-in"]),
    ), max_size=30,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(_FLOWS, max_size=3), block=st.integers(29, 32), port=st.integers(20, 23))
def test_sums_and_filters_are_those_of_the_flows(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[Flow]], block: int, port: int
) -> None:
    store = _open(tmp_path_factory.mktemp("f"), OLD, most=40)
    for part in parts:
        store.put(part, 2)
    flows = [flow for part in parts for flow in part][-40:]
    blocks = (f"192.0.2.0/{block}", "192.0.2.7/32")
    within = [
        flow
        for flow in flows
        if any(flow.source in ip_network(one) for one in blocks) and flow.destination_port != port
    ]
    ports = ",".join(str(other) for other in range(20, 24) if other != port)
    found = store.find({"source": ",".join(blocks), "port": ports}, limit=100)
    assert [replace(flow, number=0) for flow in found] == within
    sums: Counter[tuple[str, str]] = Counter()
    for flow in flows:
        if flow.accepted:
            sums[flow.layer or "-", str(flow.source)] += flow.packets
    rows = store.top(["layer", "source"], {"action": "ACCEPT"}, packets=True)
    assert {keys: packets for keys, _, packets, _ in rows} == dict(sums)
    assert [row[2] for row in rows] == sorted(sums.values(), reverse=True)
    store.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "http"),
        ("port", "65536"),
        ("source-port", "-1"),
        ("protocol", "256"),
        ("protocol", "tcp"),
        ("action", "DENY"),
    ],
)
def test_what_is_no_filter_is_said(tmp_path: Path, name: str, text: str) -> None:
    store = _open(tmp_path, OLD)
    with pytest.raises(ValueError, match=f"not '{text}'"):
        store.find({name: text})
    store.close()
