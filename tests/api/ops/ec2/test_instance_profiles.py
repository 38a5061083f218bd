"""Instance profiles of instances (IAM-11): at launch, associated, replaced, taken away."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.model.kinds import INSTANCE_PROFILE
from ringfence.model.nouns.identity import InstanceProfile
from ringfence.model.world import delete, put
from tests.api.ops.harness import ACCOUNT, Api

ARN = f"arn:aws:iam::{ACCOUNT}:instance-profile/team/web"
WEB = {"Arn": ARN, "Id": "AIPAWEB"}


@pytest.fixture
def api() -> Api:
    api = Api(defaults=True)
    for id, name, path, owner in (("AIPAWEB", "web", "/team/", ACCOUNT), ("AIPAAPP", "app", "/", ACCOUNT),
                                  ("AIPAOTH", "other", "/", "999999999999")):  # fmt: skip
        row = InstanceProfile(id=id, owner_id=owner, region="aws-global", name=name, path=path, created=0)
        api.world = api.world.apply(put(INSTANCE_PROFILE, row))
    return api


def launch(api: Api, **profile: str) -> str:
    how = {"IamInstanceProfile": profile} if profile else {}
    made = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1, **how)
    api.settle()
    return str(made["Instances"][0]["InstanceId"])


def shown(api: Api, id: str) -> Any:
    instance = api.call("DescribeInstances", InstanceIds=[id])["Reservations"][0]["Instances"][0]
    return instance.get("IamInstanceProfile")


def associations(api: Api, **how: Any) -> list[Any]:
    found: list[Any] = api.call("DescribeIamInstanceProfileAssociations", **how)["IamInstanceProfileAssociations"]
    return found


@pytest.mark.parametrize("given", [{"Name": "web"}, {"Arn": ARN}])
def test_a_profile_at_launch(api: Api, given: dict[str, str]) -> None:
    id = launch(api, **given)
    assert shown(api, id) == WEB
    assert [(a["InstanceId"], a["State"], a["IamInstanceProfile"]) for a in associations(api)] == [
        (id, "associated", WEB)
    ]
    by_arn = api.call("DescribeInstances", Filters=[{"Name": "iam-instance-profile.arn", "Values": [ARN]}])
    assert len(by_arn["Reservations"]) == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Name": "none"}, "InvalidParameterValue"),
        ({"Name": "WEB"}, "InvalidParameterValue"),
        ({"Name": "other"}, "InvalidParameterValue"),
        ({"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/web"}, "InvalidParameterValue"),
        ({"Arn": "arn:aws:iam::999999999999:instance-profile/other"}, "InvalidParameterValue"),
        ({"Arn": ARN, "Name": "web"}, "InvalidParameterCombination"),
    ],
)
def test_profiles_that_cannot_be_given(api: Api, given: dict[str, str], code: str) -> None:
    id, image = launch(api), api.image()
    assert api.error("RunInstances", ImageId=image, MinCount=1, MaxCount=1, IamInstanceProfile=given) == code
    assert api.error("AssociateIamInstanceProfile", InstanceId=id, IamInstanceProfile=given) == code


def test_associate_replace_and_take_away(api: Api) -> None:
    id = launch(api)
    assert shown(api, id) is None
    made = api.call("AssociateIamInstanceProfile", InstanceId=id, IamInstanceProfile={"Name": "web"})
    first = made["IamInstanceProfileAssociation"]
    assert first["AssociationId"].startswith("iip-assoc-")
    assert (first["State"], first["IamInstanceProfile"], shown(api, id)) == ("associating", WEB, WEB)
    assert (
        api.error("AssociateIamInstanceProfile", InstanceId=id, IamInstanceProfile={"Name": "app"}) == "IncorrectState"
    )
    changed = api.call(
        "ReplaceIamInstanceProfileAssociation", AssociationId=first["AssociationId"], IamInstanceProfile={"Name": "app"}
    )["IamInstanceProfileAssociation"]
    assert changed["AssociationId"] != first["AssociationId"]
    assert shown(api, id)["Id"] == "AIPAAPP"
    old = {"AssociationId": first["AssociationId"]}
    assert api.error("DisassociateIamInstanceProfile", **old) == "InvalidAssociationID.NotFound"
    gone = api.call("DisassociateIamInstanceProfile", AssociationId=changed["AssociationId"])
    assert gone["IamInstanceProfileAssociation"]["State"] == "disassociating"
    assert (shown(api, id), associations(api)) == (None, [])


def test_what_an_association_needs(api: Api) -> None:
    id = launch(api, Name="web")
    association = associations(api)[0]["AssociationId"]
    replace = {"AssociationId": association, "IamInstanceProfile": {"Name": "app"}}
    assert api.error("AssociateIamInstanceProfile", InstanceId=id, IamInstanceProfile={}) == "MissingParameter"
    assert (
        api.error("ReplaceIamInstanceProfileAssociation", AssociationId=association, IamInstanceProfile={})
        == "MissingParameter"
    )
    unknown = "i-0123456789abcdef0"
    assert api.error("AssociateIamInstanceProfile", InstanceId=unknown, IamInstanceProfile={"Name": "web"}) == (
        "InvalidInstanceID.NotFound"
    )
    api.call("StopInstances", InstanceIds=[id])
    assert api.error("ReplaceIamInstanceProfileAssociation", **replace) == "IncorrectState"
    bare = launch(api)
    api.call("StopInstances", InstanceIds=[bare])
    wanted = {"InstanceId": bare, "IamInstanceProfile": {"Name": "web"}}
    assert api.error("AssociateIamInstanceProfile", **wanted) == "IncorrectInstanceState"
    api.settle()
    assert api.call("AssociateIamInstanceProfile", **wanted)


def test_describing_associations(api: Api) -> None:
    ids = [launch(api, Name="web") for _ in range(3)]
    launch(api)
    assert [a["InstanceId"] for a in associations(api)] == ids
    one = associations(api, Filters=[{"Name": "instance-id", "Values": [ids[1]]}])
    assert [a["InstanceId"] for a in one] == [ids[1]]
    assert associations(api, AssociationIds=[one[0]["AssociationId"]]) == one
    assert associations(api, Filters=[{"Name": "state", "Values": ["disassociated"]}]) == []
    assert (
        api.error("DescribeIamInstanceProfileAssociations", AssociationIds=["iip-assoc-0"])
        == "InvalidAssociationID.NotFound"
    )
    api.call("TerminateInstances", InstanceIds=[ids[0]])
    assert [a["InstanceId"] for a in associations(api)] == ids[1:]


def test_a_deleted_profile_stays_named(api: Api) -> None:
    id = launch(api, Name="web")
    api.world = api.world.apply(delete(INSTANCE_PROFILE, "AIPAWEB"))
    assert shown(api, id) == WEB
