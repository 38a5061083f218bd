"""Recorded output of `aws ec2 describe-*` or boto3: recognised by its top-level keys, whatever the file is called."""

from __future__ import annotations

import re
from typing import Any

from ringfence.insight.imports.build import NO_BEARING, NOT_MODELLED, READ
from ringfence.insight.imports.draft import Archive, Source

_WRAPPING = {"ResponseMetadata", "$metadata", "requestId", "__type"}
_ATTRIBUTES = {"EnableDnsSupport", "EnableDnsHostnames", "EnableNetworkAddressUsageMetrics"}
#: names that recordings of other services share with EC2's; their elements have other ids
_LISTS = {*READ, *NOT_MODELLED, *NO_BEARING}


#: answers of get-managed-prefix-list-entries do not say which list they are of: the file's name does
_LIST_ID = re.compile(r"(?<![0-9a-z])pl-[0-9a-f]+")


def recognises(document: Any) -> bool:
    """Is it an answer of EC2, or a list of its pages?"""
    if isinstance(document, list):
        return bool(document) and all(recognises(page) for page in document)
    if not isinstance(document, dict):
        return False
    lists = [key for key in document if key in _LISTS and isinstance(document[key], list)]
    return (
        bool(lists)
        or _entries(document) is not None
        or ("VpcId" in document and bool(_ATTRIBUTES & document.keys()))
        or _options(document) is not None
    )


def add(archive: Archive, document: Any, source: Source) -> None:
    """Every record of a document `recognises` is true of."""
    if isinstance(document, list):
        pages = [_entries(page) for page in document]
        if pages and None not in pages:
            document = [{"Entries": [entry for page in pages for entry in page or ()]} | _more(document[-1])]
        for page in document:
            add(archive, page, source)
        if document and document[-1].get("NextToken"):
            archive.cut.append(source.name)
        return
    if "VpcId" in document and _ATTRIBUTES & document.keys():
        archive.add("VpcAttributes", document, source)
        return
    entries, named = _entries(document), _LIST_ID.search(source.name)
    if entries is not None and named is not None:
        blocks = [entry["Cidr"] for entry in entries]
        archive.add("PrefixLists", {"PrefixListId": named.group(), "Cidrs": blocks}, source)
        document = {key: value for key, value in document.items() if key != "Entries"}
    options = _options(document)
    if options is not None:
        mode = str(options.get("InternetGatewayBlockMode") or "off")
        if mode != "off":
            archive.notes.not_modelled[source.name] = f"VPC Block Public Access, {mode}"
            archive.cut.append(source.name)
    for key, value in document.items():
        _list(archive, key, value, source)
    if document.get("NextToken"):
        archive.notes.unknown_resources[f"further pages of {source.name} (NextToken)"] += 1
        archive.cut.append(source.name)


def _entries(document: Any) -> list[dict[str, Any]] | None:
    """The entries of a prefix list, if it is an answer that has them."""
    found = document.get("Entries") if isinstance(document, dict) else None
    told = isinstance(found, list) and all(
        isinstance(each, dict) and isinstance(each.get("Cidr"), str) for each in found
    )
    return found if told else None


def _more(page: dict[str, Any]) -> dict[str, Any]:
    return {"NextToken": page["NextToken"]} if page.get("NextToken") else {}


def _options(document: dict[str, Any]) -> dict[str, Any] | None:
    found = document.get("VpcBlockPublicAccessOptions")
    return found if isinstance(found, dict) else None


def _list(archive: Archive, key: str, value: Any, source: Source) -> None:
    if key in _WRAPPING or key in NO_BEARING or key in ("NextToken", "VpcBlockPublicAccessOptions"):
        return
    if key in NOT_MODELLED and isinstance(value, list):
        for each in value:
            id = each.get(NOT_MODELLED[key]) if isinstance(each, dict) else None
            archive.notes.not_modelled.setdefault(str(id or f"{key} in {source.name}"), _singular(key))
    elif key in READ and isinstance(value, list):
        for each in value:
            archive.add(key, each, source)
    else:
        archive.notes.unknown_resources[key] += len(value) if isinstance(value, list) else 1


def _singular(key: str) -> str:
    return key[:-1] if key.endswith("s") else key
