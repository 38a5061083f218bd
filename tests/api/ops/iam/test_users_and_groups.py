"""Users and groups: names, paths, tags, deletion; lists that are cut into pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.ops.iam.lab import ACCOUNT, ALLOW, READ_ONLY, Lab


def test_a_user_reads_back_as_written(lab: Lab) -> None:
    tags = [{"Key": "Team", "Value": "net"}, {"Key": "Empty", "Value": ""}]
    made = lab.iam.create_user(UserName="ann", Path="/a/b/", Tags=tags, PermissionsBoundary=READ_ONLY)["User"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/a/b/ann"
    assert made["UserId"].startswith("AIDA")
    assert made["Tags"] == tags
    assert made["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
    assert lab.iam.get_user(UserName="ann")["User"] == made
    listed = lab.iam.list_users()["Users"]
    assert listed == [{name: value for name, value in made.items() if name not in ("Tags", "PermissionsBoundary")}]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "taken": ({"UserName": "ann"}, "EntityAlreadyExists", "User with name ann already exists."),
    "taken in another case": ({"UserName": "ANN"}, "EntityAlreadyExists", "User with name ANN already exists."),
    "long": ({"UserName": "x" * 65}, "ValidationError", "length less than or equal to 64"),
    "space": ({"UserName": "a b"}, "ValidationError", "The specified value for userName is invalid. It must"),
    "letter of another script": ({"UserName": "añn"}, "ValidationError", "userName is invalid"),
    "path": ({"UserName": "b", "Path": "/a"}, "ValidationError", "The specified value for path is invalid."),
    "two faults": ({"UserName": "x" * 65, "Tags": [{"Key": "no!", "Value": ""}]}, "ValidationError", "2 validation errors detected: "),
    "doubled tag": (
        {"UserName": "b", "Tags": [{"Key": "A", "Value": ""}, {"Key": "a", "Value": ""}]}, "InvalidInput", "Duplicate"),
    "tag of AWS's": ({"UserName": "b", "Tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidInput", "reserved"),
    "tag key": ({"UserName": "b", "Tags": [{"Key": "no!", "Value": ""}]}, "ValidationError", "'tags.1.member.key'"),
    "51 tags": (
        {"UserName": "b", "Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]}, "ValidationError", "equal to 50"),
    "boundary": ({"UserName": "b", "PermissionsBoundary": READ_ONLY + "s"}, "NoSuchEntity", "does not exist or is not"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_users_that_cannot_be(lab: Lab, case: str) -> None:
    lab.user("ann")
    params, code, text = REFUSED[case]
    found, status, message = lab.refused("create_user", **params)
    assert (found, status) == (code, {"EntityAlreadyExists": 409, "NoSuchEntity": 404}.get(code, 400))
    assert text in message


def test_tags_are_one_key_in_every_case_and_may_be_of_any_script(lab: Lab) -> None:
    lab.user("ann", Tags=[{"Key": "Costs", "Value": "1"}])
    lab.iam.tag_user(UserName="ann", Tags=[{"Key": "costs", "Value": "2"}, {"Key": "naïve key", "Value": "値 +=.@"}])
    expected = [{"Key": "Costs", "Value": "2"}, {"Key": "naïve key", "Value": "値 +=.@"}]
    assert lab.iam.list_user_tags(UserName="ann")["Tags"] == expected
    lab.iam.untag_user(UserName="ann", TagKeys=["COSTS", "never"])
    assert lab.iam.list_user_tags(UserName="ann")["Tags"] == expected[1:]
    lab.iam.tag_user(UserName="ann", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(49)])
    code, status, _ = lab.refused("tag_user", UserName="ann", Tags=[{"Key": "more", "Value": ""}])
    assert (code, status) == ("LimitExceeded", 409)


def test_names_are_found_only_as_written(lab: Lab) -> None:
    """What a policy was asked about is what is acted upon."""
    lab.user("Ann")
    assert lab.refused("get_user", UserName="ann")[:2] == ("NoSuchEntity", 404)


HELD = {
    "group": ("add_user_to_group", {"GroupName": "ops"}, "remove_user_from_group", {"GroupName": "ops"}),
    "managed": ("attach_user_policy", {"PolicyArn": READ_ONLY}, "detach_user_policy", {"PolicyArn": READ_ONLY}),
    "inline": (
        "put_user_policy", {"PolicyName": "p", "PolicyDocument": ALLOW}, "delete_user_policy", {"PolicyName": "p"}),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD)
def test_a_user_who_has_something_is_not_deleted(lab: Lab, case: str) -> None:
    give, given, take, taken = HELD[case]
    lab.user("ann")
    lab.iam.create_group(GroupName="ops")
    getattr(lab.iam, give)(UserName="ann", **given)
    code, status, message = lab.refused("delete_user", UserName="ann")
    assert (code, status) == ("DeleteConflict", 409)
    assert message.startswith("Cannot delete entity, must ")
    getattr(lab.iam, take)(UserName="ann", **taken)
    lab.iam.delete_user(UserName="ann")
    assert lab.refused("get_user", UserName="ann")[2] == "The user with name ann cannot be found."


def test_a_user_with_keys_is_not_deleted(lab: Lab) -> None:
    key = lab.key(lab.user("ann"))
    assert lab.refused("delete_user", UserName="ann")[2] == "Cannot delete entity, must delete access keys first."
    lab.iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
    lab.iam.delete_user(UserName="ann")


def test_pages(lab: Lab) -> None:
    """Marker, MaxItems, IsTruncated; the next page goes on after the last user seen even when that one is gone."""
    for name in ("eve", "Bob", "ann", "dan", "Cat"):
        lab.user(name, Path="/x/" if name < "c" else "/")
    pager = lab.iam.get_paginator("list_users")
    pages = [page["Users"] for page in pager.paginate(PaginationConfig={"PageSize": 2})]
    assert [[user["UserName"] for user in page] for page in pages] == [["ann", "Bob"], ["Cat", "dan"], ["eve"]]
    assert [u["UserName"] for u in lab.iam.list_users(PathPrefix="/x/")["Users"]] == ["ann", "Bob", "Cat"]
    first = lab.iam.list_users(MaxItems=2)
    assert first["IsTruncated"]
    lab.iam.delete_user(UserName="Cat")
    lab.user("al")
    after = [user["UserName"] for user in lab.iam.list_users(Marker=first["Marker"])["Users"]]
    assert after == ["dan", "eve"]


@pytest.mark.parametrize("marker", ["x", "\u00ff", "MTA=", "LTEveA=="])
def test_markers_nobody_gave(lab: Lab, marker: str) -> None:
    assert lab.refused("list_users", Marker=marker) == ("ValidationError", 400, "Invalid Marker.")


def test_membership(lab: Lab) -> None:
    for n in range(11):
        lab.iam.create_group(GroupName=f"g{n:02d}")
    lab.user("ann")
    for n in range(10):
        lab.iam.add_user_to_group(GroupName=f"g{n:02d}", UserName="ann")
    lab.iam.add_user_to_group(GroupName="g00", UserName="ann")
    refusal = lab.refused("add_user_to_group", GroupName="g10", UserName="ann")
    assert refusal == ("LimitExceeded", 409, "Cannot exceed quota for GroupsPerUser: 10")
    lab.iam.update_group(GroupName="g00", NewGroupName="first", NewPath="/p/")
    names = [group["GroupName"] for group in lab.iam.list_groups_for_user(UserName="ann")["Groups"]]
    assert names == ["first", *(f"g{n:02d}" for n in range(1, 10))]
    group = lab.iam.get_group(GroupName="first")
    assert group["Group"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:group/p/first"
    assert [user["UserName"] for user in group["Users"]] == ["ann"]
    assert lab.refused("delete_group", GroupName="first")[0] == "DeleteConflict"
    lab.iam.remove_user_from_group(GroupName="first", UserName="ann")
    lab.iam.delete_group(GroupName="first")
    assert lab.refused("get_group", GroupName="first")[2] == "The group with name first cannot be found."
    assert lab.refused("update_group", GroupName="g01", NewGroupName="G02")[0] == "EntityAlreadyExists"


def test_the_root_has_no_user(lab: Lab) -> None:
    assert lab.iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
