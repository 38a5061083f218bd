"""Instance metadata options: reading and showing them (Amazon EC2 User Guide: "Use the Instance Metadata Service"; UF-11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Params
from ringfence.model.errors import fault
from ringfence.model.nouns.instance import MetadataOptions

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
