"""The instance profile of an instance (Amazon EC2 API Reference: IamInstanceProfileAssociation; IAM User Guide: "Use
instance profiles"; IAM-11).

An instance keeps ARN and id of its profile: a profile that is deleted stays named but gives no credentials any more.
Whether the caller may hand over the role (`iam:PassRole`, IAM-34) is asked before an operation runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.registry import operation
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import INSTANCE, INSTANCE_PROFILE
from ringfence.model.nouns.identity import InstanceProfile
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.row import Tags
from ringfence.model.world import World, put

_SETTLED = frozenset({InstanceState.RUNNING, InstanceState.STOPPED})
_GONE = frozenset({InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED})


# ---------------------------------------------------------------------- naming a profile
def profile_of(call: Call, world: World, specification: Params | None) -> InstanceProfile | None:
    """The profile that `IamInstanceProfile` of a request names by ARN or name; None when it names none.

    ApiError InvalidParameterCombination, InvalidParameterValue.
    """
    name, arn = (specification or {}).get("Name"), (specification or {}).get("Arn")
    if name and arn:
        text = "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'"
        raise fault("InvalidParameterCombination", message=text)
    if not name and not arn:
        return None
    wanted = str(name or arn).rpartition("/")[2]
    for profile in world.by(INSTANCE_PROFILE, "name", f"{call.account_id}/{wanted.lower()}"):
        if profile.name == name or INSTANCE_PROFILE.arn(profile) == arn:
            return profile
    what, value = ("name", name) if name else ("arn", arn)
    kind = "Name" if name else "ARN"
    text = f"Value ({value}) for parameter iamInstanceProfile.{what} is invalid. Invalid IAM Instance Profile {kind}"
    raise fault("InvalidParameterValue", message=text)


def _required(call: Call, world: World, params: Params) -> InstanceProfile:
    found = profile_of(call, world, params.get("IamInstanceProfile"))
    if found is None:
        raise fault("MissingParameter", name="iamInstanceProfile")
    return found


def with_profile(call: Call, instance: Instance, profile: InstanceProfile | None) -> Instance:
    """The instance associated with the profile, by a new association."""
    if profile is None:
        return instance
    return replace(
        instance, iam_instance_profile=INSTANCE_PROFILE.arn(profile), iam_instance_profile_id=profile.id,
        iam_association_id=call.ids.new("iip-assoc-"), iam_association_time=call.timestamp,
    )  # fmt: skip


def profile_view(instance: Instance) -> dict[str, Any]:
    """`IamInstanceProfile` as DescribeInstances shows it, as a member; none without a profile."""
    if instance.iam_instance_profile is None:
        return {}
    return {"IamInstanceProfile": {"Arn": instance.iam_instance_profile, "Id": instance.iam_instance_profile_id}}


# ---------------------------------------------------------------------- associations
@dataclass(frozen=True, slots=True)
class Association:
    """An association as filters and pages want it."""

    instance: Instance
    tags: Tags = ()

    @property
    def id(self) -> str:
        return self.instance.iam_association_id or ""

    def tag(self, key: str) -> str | None:
        return None

    def view(self, state: str = "associated") -> dict[str, Any]:
        """IamInstanceProfileAssociation."""
        out = {"AssociationId": self.id, "InstanceId": self.instance.id, "State": state, **profile_view(self.instance)}
        return out | {"Timestamp": self.instance.iam_association_time} if self.instance.iam_association_time else out


def _reply(instance: Instance, state: str) -> dict[str, Any]:
    return {"IamInstanceProfileAssociation": Association(instance).view(state)}


def _held(call: Call, world: World) -> list[Association]:
    return [
        Association(row) for row in call.mine(world, INSTANCE) if row.iam_association_id and row.state not in _GONE
    ]  # fmt: skip


def _named(call: Call, world: World, id: str) -> Association:
    found = next((held for held in _held(call, world) if held.id == id), None)
    if found is None:
        raise _unknown(id)
    return found


def _unknown(id: str) -> ApiError:
    return fault("InvalidAssociationID.NotFound", message=f"An invalid association-id of '{id[:128]}' was given")


@operation("ec2:AssociateIamInstanceProfile")
def associate(call: Call, world: World, params: Params) -> Outcome:
    """IncorrectState when the instance has a profile already; IncorrectInstanceState unless running or stopped."""
    profile = _required(call, world, params)
    instance = call.get(world, INSTANCE, params["InstanceId"])
    if instance.state not in _SETTLED:
        text = f"The instance '{instance.id}' is not in the 'running' or 'stopped' states."
        raise fault("IncorrectInstanceState", message=text)
    if instance.iam_association_id is not None:
        raise fault("IncorrectState", message=f"There is an existing association for instance {instance.id}")
    changed = with_profile(call, instance, profile)
    return Outcome(_reply(changed, "associating"), put(INSTANCE, changed))


@operation("ec2:DisassociateIamInstanceProfile")
def disassociate(call: Call, world: World, params: Params) -> Outcome:
    """The metadata service gives no credentials from this commit on; those given out last until they expire."""
    held = _named(call, world, params["AssociationId"])
    changed = replace(
        held.instance, iam_instance_profile=None, iam_instance_profile_id=None, iam_association_id=None,
        iam_association_time=None,
    )  # fmt: skip
    return Outcome(_reply(held.instance, "disassociating"), put(INSTANCE, changed))


@operation("ec2:ReplaceIamInstanceProfileAssociation")
def replace_association(call: Call, world: World, params: Params) -> Outcome:
    """Another profile by another association. AWS: only of a running instance."""
    profile, held = _required(call, world, params), _named(call, world, params["AssociationId"])
    if held.instance.state is not InstanceState.RUNNING:
        raise fault("IncorrectState", message=f"The association {held.id} is not the active association")
    changed = with_profile(call, held.instance, profile)
    return Outcome(_reply(changed, "associating"), put(INSTANCE, changed))


_FILTERS: dict[str, Values] = {
    "instance-id": lambda _, a: (a.instance.id,),
    "state": lambda _, a: ("associated",),
}


@operation("ec2:DescribeIamInstanceProfileAssociations")
def describe_associations(call: Call, world: World, params: Params) -> Outcome:
    """Those of instances that are not terminated."""
    wanted = params.get("AssociationIds") or ()
    rows = [_named(call, world, id) for id in dict.fromkeys(wanted)] if wanted else _held(call, world)
    shown, token = page(apply_filters(world, rows, params.get("Filters") or (), _FILTERS), params)
    reply: dict[str, Any] = {"IamInstanceProfileAssociations": [held.view() for held in shown]}
    return Outcome(reply | ({"NextToken": token} if token else {}))
