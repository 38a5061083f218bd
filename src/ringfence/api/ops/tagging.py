"""Tags: their rules, and tag-on-create, once for every operation (Amazon EC2 User Guide: "Tag your resources")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ringfence.api.ops.context import Call, Params
from ringfence.model.errors import fault
from ringfence.model.kinds import Kind
from ringfence.model.row import Tags

_COMPUTE = frozenset({"instance", "image", "key-pair"})
MAX_KEY, MAX_VALUE = 127, 255  # AWS: EC2 accepts 127/255 characters (128/256 elsewhere)


def parse_tags(call: Call, given: Iterable[Params], existing: Tags = ()) -> Tags:
    """`existing` overlaid with a list of {Key, Value}; later wins (SG-14). ApiError on a bad key, value or count."""
    merged = dict(existing)
    seen: set[str] = set()
    for tag in given:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        _check(key, value)
        if key in seen:
            raise fault("InvalidParameterValue", message=f"Duplicate tag key '{key}' specified.")
        seen.add(key)
        merged[key] = value
    if len(merged) > call.limits["tags-per-resource"]:
        raise fault("TagLimitExceeded", message="The maximum number of Tags for a resource has been reached.")
    return tuple(merged.items())


def _check(key: str, value: str) -> None:
    if not key:
        raise fault("InvalidParameterValue", message="Tag key cannot be empty")
    if len(key) > MAX_KEY + 1:
        raise fault("InvalidParameterValue", message=f"Tag key exceeds the maximum length of {MAX_KEY} characters")
    if key.lower().startswith("aws:"):
        raise fault("InvalidParameterValue", message="Tag keys starting with 'aws:' are reserved for internal use")
    if len(value) > MAX_VALUE + 1:
        raise fault("InvalidParameterValue", message=f"Tag value exceeds the maximum length of {MAX_VALUE} characters")


def tags_on_create(call: Call, params: Params, *kinds: Kind[Any] | str) -> Tags:
    """The tags `TagSpecifications` gives to a resource of the first kind.

    `kinds` are all resource types this call can create; another type is refused, as AWS does.
    """
    nouns = [kind if isinstance(kind, str) else kind.noun for kind in kinds]
    # AWS: compute operations (seen with RunInstances) and network operations (seen with CreateVpcEndpoint) differ
    code = "InvalidParameterValue" if _COMPUTE & set(nouns) else "InvalidParameter"
    wanted: list[Params] = []
    for specification in params.get("TagSpecifications") or ():
        noun = specification.get("ResourceType")
        if not noun:
            raise fault(code, message="Tag specification resource type must have a value")
        if noun not in nouns:
            raise fault(code, message=f"'{noun}' is not a valid taggable resource type for this operation.")
        if not specification.get("Tags"):
            raise fault(code, message="Tag specification must have at least one tag")
        if noun == nouns[0]:
            wanted.extend(specification.get("Tags") or ())
    return parse_tags(call, wanted)


def tag_list(tags: Tags) -> list[dict[str, str]]:
    """Tags as the API shows them."""
    return [{"Key": key, "Value": value} for key, value in tags]
