"""Images: the built-in ones of each Region, and registered root directories (Amazon EC2 User Guide: "AMIs").

An image here is a root file system, not a disk. `RegisterImage` takes `ImageLocation=file:/absolute/directory`: a root
directory or an OCI image layout among the installation's images (docs/images.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.region_state import region_state
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.ids import well_formed
from ringfence.model.kinds import IMAGE, REGION
from ringfence.model.nouns.instance import EVERYWHERE, Image
from ringfence.model.world import Change, World, delete, put

AMAZON = "137112412989"
#: (name, description, owner, owner alias): all start the built-in root file system
_BUILTIN = (
    ("ringfence-guest-1.x86_64", "Ringfence guest: the host's programs, read-only, and Python", AMAZON, "amazon"),
    ("Fedora-Cloud-Base-41-1.4.x86_64-41", "Stands in for Fedora Cloud: starts the Ringfence guest", "125523088429", None),
    ("al2023-ami-2023.6.20250101.0-kernel-6.1-x86_64", "Stands in for Amazon Linux: starts the Ringfence guest", AMAZON,
     "amazon"),
)  # fmt: skip


def builtin_images(region: str) -> tuple[Image, ...]:
    """The public images every account sees in a Region. Their ids are the same in every installation."""
    return tuple(
        Image(
            id="ami-0" + hashlib.sha256(f"{region}/{name}".encode()).hexdigest()[:16],
            owner_id=owner,
            region=region,
            name=name,
            description=description,
            root="builtin",
            public=True,
            owner_alias=alias,
            imds_support="v2.0",
        )
        for name, description, owner, alias in _BUILTIN
    )


#: ids that test suites of AWS clients launch without asking DescribeImages: (id, name, owner, virtualisation, platform)
_SAMPLES = (
    ("ami-12c6146b", "sample-windows-2008-r2", "801119661308", "hvm", "windows"),
    ("ami-03cf127a", "sample-windows-2016", "801119661308", "hvm", "windows"),
    ("ami-f4cf1d8d", "sample-windows-2012-r2-sql", "801119661308", "hvm", "windows"),
    ("ami-fa7cdd89", "sample-suse-11-sp4-pv", "013907871322", "paravirtual", None),
)


def sample_images(_: Call, world: World) -> Change | None:
    """The sample images of an ephemeral installation, in every Region: they start the built-in root file system.

    None when they are there. A prepare step of the pipeline: a reset brings them back.
    """
    if world.find(IMAGE, _SAMPLES[0][0]) is not None:
        return None
    return put(IMAGE, *(_sample(*row) for row in _SAMPLES))


def _sample(id: str, name: str, owner: str, virtualization: str, platform: str | None) -> Image:
    return Image(
        id=id, owner_id=owner, region=EVERYWHERE, name=name, description="Sample image: starts the Ringfence guest",
        root="builtin", public=True, virtualization_type=virtualization, platform=platform,
        platform_details="Windows" if platform else "Linux/UNIX",
    )  # fmt: skip


def _visible(call: Call, image: Image) -> bool:
    here = image.region in (call.region, EVERYWHERE)
    return here and (image.public or image.owner_id == call.account_id)


def visible_image(call: Call, world: World, id: str) -> Image:
    """An image the caller may launch: its own, or a public one of the Region."""
    image = world.find(IMAGE, id)
    if image is None or not _visible(call, image):
        raise fault(IMAGE.not_found if well_formed("ami-", id) else IMAGE.malformed, id=id)
    return replace(image, region=call.region) if image.region == EVERYWHERE else image


def _view(image: Image) -> dict[str, Any]:
    out: dict[str, Any] = {
        "ImageId": image.id,
        "Name": image.name,
        "Description": image.description,
        "OwnerId": image.owner_id,
        "ImageLocation": f"{image.owner_alias or image.owner_id}/{image.name}"
        if image.root == "builtin"
        else image.location or f"file:{image.root}",
        "State": image.state,
        "Public": image.public,
        "Architecture": image.architecture,
        "ImageType": "machine",
        "Hypervisor": "xen",
        "VirtualizationType": image.virtualization_type,
        "RootDeviceType": "instance-store",
        "RootDeviceName": image.root_device_name,
        "PlatformDetails": image.platform_details,
        "UsageOperation": "RunInstances",
        "EnaSupport": True,
        "CreationDate": image.creation_date,
        "BlockDeviceMappings": [],
        "Tags": tag_list(image.tags),
    }
    if image.state_reason:
        out["StateReason"] = dict(zip(("Code", "Message"), image.state_reason, strict=True))
    if image.owner_alias:
        out["ImageOwnerAlias"] = image.owner_alias
    if image.imds_support:
        out["ImdsSupport"] = image.imds_support
    if image.platform:
        out["Platform"] = image.platform
    return out


_FILTERS: dict[str, Values] = {
    "image-id": lambda _, image: (image.id,),
    "name": lambda _, image: (image.name,),
    "description": lambda _, image: (image.description,),
    "owner-id": lambda _, image: (image.owner_id,),
    "owner-alias": lambda _, image: (image.owner_alias,),
    "architecture": lambda _, image: (image.architecture,),
    "state": lambda _, image: (image.state,),
    "is-public": lambda _, image: (image.public,),
    "image-type": lambda _, image: ("machine",),
    "hypervisor": lambda _, image: ("xen",),
    "virtualization-type": lambda _, image: (image.virtualization_type,),
    "root-device-type": lambda _, image: ("instance-store",),
    "root-device-name": lambda _, image: (image.root_device_name,),
    "creation-date": lambda _, image: (image.creation_date,),
    "platform-details": lambda _, image: (image.platform_details,),
    "platform": lambda _, image: (image.platform,),
    "manifest-location": lambda _, image: (image.location or image.root,),
    "ena-support": lambda _, image: (True,),
}


def _owned_by(call: Call, image: Image, owners: list[str]) -> bool:
    return any(
        owner in (image.owner_id, image.owner_alias) or (owner == "self" and image.owner_id == call.account_id)
        for owner in owners
    )


@operation("ec2:DescribeImages")
def describe_images(call: Call, world: World, params: Params) -> Outcome:
    """Own and public images."""
    if params.get("ImageIds"):
        rows = [visible_image(call, world, id) for id in dict.fromkeys(params["ImageIds"])]
    else:
        rows = [image for image in world.all(IMAGE) if _visible(call, image)]
    if params.get("Owners"):
        rows = [image for image in rows if _owned_by(call, image, params["Owners"])]
    users = params.get("ExecutableUsers")
    if users:
        rows = [i for i in rows if ("all" in users and i.public) or ("self" in users and i.owner_id == call.account_id)]
    rows = apply_filters(world, rows, params.get("Filters") or (), _FILTERS)
    shown, token = page(rows, params)
    return Outcome({"Images": [_view(image) for image in shown]} | ({"NextToken": token} if token else {}))


@operation("ec2:RegisterImage")
def register_image(call: Call, world: World, params: Params) -> Outcome:
    """`ImageLocation=file:/absolute/directory`: a root file system; or an OCI image layout, pending until it is unpacked."""
    location = params.get("ImageLocation") or ""
    if not location.startswith("file:/") or ".." in location.split("/"):
        raise fault(
            "UnsupportedOperation",
            message="Only ImageLocation=file:/absolute/directory (a root file system or an OCI layout) is supported",
        )
    name = params.get("Name")
    if not name:
        raise fault("MissingParameter", name="Name")
    for held in call.mine(world, IMAGE):
        if held.name == name:
            raise fault("InvalidAMIName.Duplicate", name=name, id=held.id)
    directory = call.images.admit(location)
    image = Image(
        id=call.ids.new("ami-"),
        **call.owned(),
        tags=tags_on_create(call, params, IMAGE),
        name=name,
        description=params.get("Description") or "",
        root=str(directory),
        location=location,
        state="pending" if (directory / "oci-layout").exists() else "available",
        architecture=params.get("Architecture") or "x86_64",
        creation_date=call.timestamp,
        root_device_name=params.get("RootDeviceName") or "/dev/xvda",
        imds_support=params.get("ImdsSupport"),
    )
    return Outcome({"ImageId": image.id}, put(IMAGE, image))


@operation("ec2:DeregisterImage")
def deregister_image(call: Call, world: World, params: Params) -> Outcome:
    """Running instances keep going."""
    image = call.get(world, IMAGE, params["ImageId"])
    return Outcome({"Return": True}, delete(IMAGE, image.id))


# ---------------------------------------------------------------------- public sharing
# No image can be made public here (ModifyImageAttribute is not served), so the account's wish is kept and always held.
@operation("ec2:GetImageBlockPublicAccessState")
def get_image_block_public_access_state(call: Call, world: World, params: Params) -> Outcome:
    """Whether the account may make images public in the Region."""
    state = "block-new-sharing" if region_state(call, world).image_sharing_blocked else "unblocked"
    return Outcome({"ImageBlockPublicAccessState": state, "ManagedBy": "account"})


@operation("ec2:EnableImageBlockPublicAccess")
def enable_image_block_public_access(call: Call, world: World, params: Params) -> Outcome:
    """Images already public stay so."""
    return _block_sharing(call, world, blocked=True)


@operation("ec2:DisableImageBlockPublicAccess")
def disable_image_block_public_access(call: Call, world: World, params: Params) -> Outcome:
    """Allows what no operation here offers."""
    return _block_sharing(call, world, blocked=False)


def _block_sharing(call: Call, world: World, *, blocked: bool) -> Outcome:
    change = put(REGION, replace(region_state(call, world), image_sharing_blocked=blocked))
    return Outcome({"ImageBlockPublicAccessState": "block-new-sharing" if blocked else "unblocked"}, change)
