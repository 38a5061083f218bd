"""Instance metadata options: reading and showing them (Amazon EC2 User Guide: "Use the Instance Metadata Service"; UF-11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2.region_state import region_state
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.kinds import REGION
from ringfence.model.nouns.instance import Image, MetadataDefaults, MetadataOptions
from ringfence.model.world import World, put

_METADATA = {
    "HttpTokens": "http_tokens",
    "HttpEndpoint": "http_endpoint",
    "HttpPutResponseHopLimit": "hop_limit",
    "HttpProtocolIpv6": "http_protocol_ipv6",
    "InstanceMetadataTags": "instance_metadata_tags",
}


def metadata_options(given: Params, current: MetadataOptions) -> MetadataOptions:
    """`current` overlaid with what a request gives (UF-11)."""
    values: dict[str, Any] = {field: given[name] for name, field in _METADATA.items() if given.get(name) is not None}
    if not 1 <= values.get("hop_limit", 1) <= 64:
        raise fault("InvalidParameterValue", message="HttpPutResponseHopLimit must be between 1 and 64")
    return replace(current, **values)


def metadata_view(options: MetadataOptions) -> dict[str, Any]:
    """The MetadataOptions member."""
    return {"State": "applied"} | {name: getattr(options, field) for name, field in _METADATA.items()}


# ---------------------------------------------------------------------- defaults
#: what an instance starts with when neither its launch nor the account says otherwise, by the image's ImdsSupport
_BY_IMAGE = {
    "v2.0": MetadataOptions(http_tokens="required", hop_limit=2),
    None: MetadataOptions(http_tokens="optional", hop_limit=1),
}
_DEFAULTS = {name: field for name, field in _METADATA.items() if field != "http_protocol_ipv6"}


def options_of_new(call: Call, world: World, image: Image) -> MetadataOptions:
    """Before the launch's own options: the account's defaults, and below them what the image says (EC2 User Guide:
    "Configure instance metadata options for new instances", order of precedence)."""
    wanted = region_state(call, world).metadata_defaults
    given = {field: getattr(wanted, field) for field in _DEFAULTS.values() if getattr(wanted, field) is not None}
    return replace(_BY_IMAGE[image.imds_support], **given)


@operation("ec2:GetInstanceMetadataDefaults")
def get_instance_metadata_defaults(call: Call, world: World, params: Params) -> Outcome:
    """The account's preferences in the Region; what has none is left out."""
    wanted = region_state(call, world).metadata_defaults
    shown = {name: getattr(wanted, field) for name, field in _DEFAULTS.items() if getattr(wanted, field) is not None}
    return Outcome({"AccountLevel": shown | {"ManagedBy": "account"}})


@operation("ec2:ModifyInstanceMetadataDefaults")
def modify_instance_metadata_defaults(call: Call, world: World, params: Params) -> Outcome:
    """`no-preference`, and a hop limit of -1, take a preference back. Instances that exist keep what they have."""
    if params.get("HttpTokensEnforced") not in (None, "disabled", "no-preference"):
        raise fault("UnsupportedOperation", message="HttpTokensEnforced is not supported by this installation")
    changed: dict[str, Any] = {field: params[name] for name, field in _DEFAULTS.items() if params.get(name) is not None}
    limit = changed.get("hop_limit")
    if limit is not None and limit != -1 and not 1 <= limit <= 64:
        raise fault("InvalidParameterValue", message="HttpPutResponseHopLimit must be between 1 and 64, or -1")
    cleared = {field: None if value in ("no-preference", -1) else value for field, value in changed.items()}
    region = region_state(call, world)
    defaults: MetadataDefaults = replace(region.metadata_defaults, **cleared)
    return Outcome({"Return": True}, put(REGION, replace(region, metadata_defaults=defaults)))
