"""Managed prefix lists: the lists themselves (spec PL-01 … PL-15)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.endpoints import S3_BLOCKS
from tests.api.ops.harness import ACCOUNT, REGION, Api

_LIST = service_list(REGION, "s3")
assert _LIST is not None
S3 = _LIST.id


@pytest.fixture
def api() -> Api:
    return Api()


def made(api: Api, *blocks: str, size: int = 5, family: str = "IPv4", name: str = "offices", **more: Any) -> str:
    entries = [{"Cidr": block} for block in blocks]
    reply = api.call(
        "CreateManagedPrefixList", PrefixListName=name, MaxEntries=size, AddressFamily=family, Entries=entries, **more
    )
    return str(reply["PrefixList"]["PrefixListId"])


def modify(api: Api, id: str, **change: Any) -> dict[str, Any]:
    return dict(api.call("ModifyManagedPrefixList", PrefixListId=id, **change)["PrefixList"])


def add(*blocks: str) -> dict[str, Any]:
    return {"AddEntries": [{"Cidr": block} for block in blocks]}


def blocks(api: Api, id: str, **more: Any) -> list[str]:
    return [entry["Cidr"] for entry in api.call("GetManagedPrefixListEntries", PrefixListId=id, **more)["Entries"]]


def listed(api: Api, **params: Any) -> list[str]:
    return [row["PrefixListId"] for row in api.call("DescribeManagedPrefixLists", **params)["PrefixLists"]]


def test_a_list_is_made_shown_and_found(api: Api) -> None:
    tags = [{"ResourceType": "prefix-list", "Tags": [{"Key": "team", "Value": "net"}]}]
    id = made(api, "10.0.0.0/8", "192.0.2.7/24", TagSpecifications=tags)
    (row,) = api.call("DescribeManagedPrefixLists", PrefixListIds=[id])["PrefixLists"]
    assert row == {
        "PrefixListId": id, "AddressFamily": "IPv4", "State": "create-complete", "MaxEntries": 5, "Version": 1,
        "PrefixListArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:prefix-list/{id}", "PrefixListName": "offices",
        "Tags": [{"Key": "team", "Value": "net"}], "OwnerId": ACCOUNT,
    }  # fmt: skip
    assert blocks(api, id) == ["10.0.0.0/8", "192.0.2.0/24"]  # host bits are dropped, as of rules
    for name, value in (
        ("owner-id", ACCOUNT),
        ("prefix-list-id", id),
        ("prefix-list-name", "off*"),
        ("tag:team", "net"),
    ):
        assert listed(api, Filters=[{"Name": name, "Values": [value]}]) == [id]
    assert (
        api.error("DescribeManagedPrefixLists", Filters=[{"Name": "state", "Values": ["x"]}]) == "InvalidParameterValue"
    )


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("PL-01", {"Entries": [{"Cidr": "fd00::/8"}]}, "InvalidParameterValue"),
    ("PL-01", {"AddressFamily": "IPv6", "Entries": [{"Cidr": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ("PL-01", {"AddressFamily": "IPv5"}, "InvalidParameterValue"),
    ("PL-01", {"Entries": [{"Cidr": "10.0.0.0/33"}]}, "InvalidParameterValue"),
    ("PL-02", {"MaxEntries": 0}, "InvalidParameterValue"),
    ("PL-02", {"MaxEntries": 1001}, "InvalidParameterValue"),
    ("PL-02", {"PrefixListName": ""}, "InvalidParameterValue"),
    ("PL-02", {"PrefixListName": "x" * 256}, "InvalidParameterValue"),
    ("PL-02", {"PrefixListName": "com.amazonaws.us-east-1.mine"}, "InvalidParameterValue"),
    ("PL-02", {"MaxEntries": 1, "Entries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "11.0.0.0/8"}]}, "PrefixListMaxEntriesExceeded"),
    ("", {"Entries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "10.1.0.0/8"}]}, "InvalidParameterValue"),
    ("", {"Entries": [{"Cidr": "10.0.0.0/8", "Description": "x" * 256}]}, "InvalidParameterValue"),
    ("", {"MaxEntries": 200, "Entries": [{"Cidr": f"10.{n}.0.0/16"} for n in range(101)]}, "InvalidParameterValue"),
    ("", {"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a"}]}]}, "InvalidParameter"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "change", "code"), BAD)
def test_what_cannot_be_made(api: Api, row: str, change: dict[str, Any], code: str) -> None:
    given = {"PrefixListName": "x", "MaxEntries": 5, "AddressFamily": "IPv4", **change}
    assert api.error("CreateManagedPrefixList", **given) == code, row


def test_entries_make_versions_name_and_size_do_not(api: Api) -> None:
    """PL-03, PL-07."""
    id = made(api, "10.0.0.0/8")
    assert modify(api, id, PrefixListName="other")["Version"] == 1
    resized = modify(api, id, MaxEntries=2)
    assert (resized["Version"], resized["MaxEntries"], resized["PrefixListName"]) == (1, 2, "other")
    assert resized["State"] == "modify-complete"
    changed = modify(api, id, CurrentVersion=1, **add("11.0.0.0/8"))
    assert (changed["Version"], changed["State"]) == (2, "modify-complete")
    modify(api, id, RemoveEntries=[{"Cidr": "10.0.0.0/8"}])
    assert [blocks(api, id, TargetVersion=version) for version in (1, 2, 3)] == [
        ["10.0.0.0/8"], ["10.0.0.0/8", "11.0.0.0/8"], ["11.0.0.0/8"],
    ]  # fmt: skip
    assert api.error("GetManagedPrefixListEntries", PrefixListId=id, TargetVersion=4) == "InvalidParameterValue"
    restored = api.call("RestoreManagedPrefixListVersion", PrefixListId=id, PreviousVersion=2, CurrentVersion=3)[
        "PrefixList"
    ]
    assert (restored["Version"], restored["State"]) == (4, "restore-complete")
    assert blocks(api, id) == blocks(api, id, TargetVersion=2)
    modify(api, id, RemoveEntries=[{"Cidr": "10.0.0.0/8"}])
    modify(api, id, MaxEntries=1)
    restore = {"PrefixListId": id, "PreviousVersion": 2, "CurrentVersion": 5}
    assert api.error("RestoreManagedPrefixListVersion", **restore) == "PrefixListMaxEntriesExceeded"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("PL-04", {"CurrentVersion": 7, **add("11.0.0.0/8")}, "PrefixListVersionMismatch"),
    ("PL-05", {"CurrentVersion": 1, "MaxEntries": 3, **add("11.0.0.0/8")}, "InvalidParameterCombination"),
    ("PL-05", {"MaxEntries": 3, "RemoveEntries": [{"Cidr": "10.0.0.0/8"}]}, "InvalidParameterCombination"),
    ("PL-01", add("fd00::/8"), "InvalidParameterValue"),
    ("PL-02", {"PrefixListName": "com.amazonaws"}, "InvalidParameterValue"),
    ("PL-02", {"MaxEntries": 1001}, "InvalidParameterValue"),
    ("PL-02", add(*(f"11.{n}.0.0/16" for n in range(5))), "PrefixListMaxEntriesExceeded"),
    ("", {"RemoveEntries": [{"Cidr": "11.0.0.0/8"}]}, "InvalidPrefixListModification"),
    ("", add("10.0.0.0/8"), "InvalidPrefixListModification"),
    ("", {**add("10.0.0.0/8"), "RemoveEntries": [{"Cidr": "10.0.0.0/8"}]}, "InvalidParameterValue"),
    ("", {}, "MissingParameter"),
    ("", {"IpamPrefixListResolverSyncEnabled": True}, "UnsupportedOperation"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "change", "code"), REFUSED)
def test_what_cannot_be_modified(api: Api, row: str, change: dict[str, Any], code: str) -> None:
    assert api.error("ModifyManagedPrefixList", PrefixListId=made(api, "10.0.0.0/8"), **change) == code, row


def test_a_description_is_replaced_by_adding_the_block_with_another(api: Api) -> None:
    id = made(api, "10.0.0.0/8")
    assert modify(api, id, AddEntries=[{"Cidr": "10.0.0.0/8", "Description": "head office"}])["Version"] == 2
    assert api.call("GetManagedPrefixListEntries", PrefixListId=id)["Entries"] == [
        {"Cidr": "10.0.0.0/8", "Description": "head office"}
    ]


def test_entries_come_in_pages(api: Api) -> None:
    id = made(api, "10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8")
    first = api.call("GetManagedPrefixListEntries", PrefixListId=id, MaxResults=2)
    assert [entry["Cidr"] for entry in first["Entries"]] == ["10.0.0.0/8", "11.0.0.0/8"]
    assert blocks(api, id, MaxResults=2, NextToken=first["NextToken"]) == ["12.0.0.0/8"]
    assert api.error("GetManagedPrefixListEntries", PrefixListId=id, MaxResults=101) == "InvalidParameterValue"
    assert api.error("GetManagedPrefixListAssociations", PrefixListId=id, MaxResults=4) == "InvalidParameterValue"


def test_the_oldest_version_goes_when_there_are_too_many() -> None:
    """PL-14."""
    api = Api(quotas={"prefix-list-versions": 3, "prefix-lists": 1})
    id = made(api, "10.0.0.0/8")
    for block in ("11.0.0.0/8", "12.0.0.0/8", "13.0.0.0/8"):
        modify(api, id, **add(block))
    assert api.error("GetManagedPrefixListEntries", PrefixListId=id, TargetVersion=1) == "InvalidParameterValue"
    assert len(blocks(api, id, TargetVersion=2)) == 2
    other = {"PrefixListName": "x", "MaxEntries": 1, "AddressFamily": "IPv4"}
    assert api.error("CreateManagedPrefixList", **other) == "PrefixListLimitExceeded"
    assert api.call("DeleteManagedPrefixList", PrefixListId=id)["PrefixList"]["State"] == "delete-complete"
    assert api.error("GetManagedPrefixListEntries", PrefixListId=id) == "InvalidPrefixListID.NotFound"
    made(api)


ABOUT_ONE: list[tuple[str, dict[str, Any]]] = [
    ("ModifyManagedPrefixList", {"PrefixListName": "x"}),
    ("RestoreManagedPrefixListVersion", {"PreviousVersion": 1, "CurrentVersion": 1}),
    ("DeleteManagedPrefixList", {}),
    ("GetManagedPrefixListAssociations", {}),
    ("GetManagedPrefixListEntries", {}),
]


@pytest.mark.parametrize(("action", "more"), ABOUT_ONE)
def test_lists_that_are_not_there(api: Api, action: str, more: dict[str, Any]) -> None:
    """PL-15."""
    assert api.error(action, PrefixListId="pl-0123456789abcdef0", **more) == "InvalidPrefixListID.NotFound"
    assert api.error(action, PrefixListId="pl-nonsense", **more) == "InvalidPrefixListId.Malformed"


def test_lists_of_aws_are_seen_by_all_and_changed_by_nobody(api: Api) -> None:
    """PL-10."""
    (row,) = api.call("DescribeManagedPrefixLists", Filters=[{"Name": "owner-id", "Values": ["AWS"]}])["PrefixLists"]
    assert row == {
        "PrefixListId": S3, "AddressFamily": "IPv4", "State": "create-complete", "OwnerId": "AWS", "Tags": [],
        "PrefixListArn": f"arn:aws:ec2:{REGION}:aws:prefix-list/{S3}", "PrefixListName": f"com.amazonaws.{REGION}.s3",
    }  # fmt: skip
    assert api.call("DescribePrefixLists")["PrefixLists"] == [
        {"PrefixListId": S3, "PrefixListName": f"com.amazonaws.{REGION}.s3", "Cidrs": [str(S3_BLOCKS[REGION])]}
    ]
    assert blocks(api, S3) == [str(S3_BLOCKS[REGION])]
    for action, more in ABOUT_ONE[:4]:
        assert api.error(action, PrefixListId=S3, **more) == "OperationNotPermitted"
    assert api.error("GetManagedPrefixListEntries", PrefixListId=S3, TargetVersion=1) == "InvalidParameterValue"
    assert api.error("CreateTags", Resources=[S3], Tags=[{"Key": "a", "Value": "b"}]) == "OperationNotPermitted"
    assert api.error("DescribePrefixLists", PrefixListIds=[made(api)]) == "InvalidPrefixListID.NotFound"


@given(st.lists(st.sets(st.integers(0, 5), min_size=1, max_size=4), max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_version_stays_what_it_was(steps: list[set[int]]) -> None:
    """PL-03, PL-07: each step adds the blocks that are not there and removes those that are; then every version is restored."""
    api = Api()
    id, held, history = made(api, size=6), set[str](), [set[str]()]
    for step in steps:
        named = {f"10.{n}.0.0/16" for n in step}
        gone, came = [{"Cidr": block} for block in named & held], [{"Cidr": block} for block in named - held]
        now = modify(api, id, CurrentVersion=len(history), AddEntries=came, RemoveEntries=gone)
        held = held ^ named
        history.append(held)
        assert now["Version"] == len(history)
    assert [set(blocks(api, id, TargetVersion=n)) for n in range(1, len(history) + 1)] == history
    for n in range(1, len(history) + 1):
        current = {"PreviousVersion": n, "CurrentVersion": len(history) + n - 1}
        api.call("RestoreManagedPrefixListVersion", PrefixListId=id, **current)
        assert set(blocks(api, id)) == history[n - 1]
