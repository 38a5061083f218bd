"""Managed prefix lists (Amazon VPC User Guide: "Consolidate and manage network CIDR blocks with managed prefix lists";
EC2 API Reference; spec PL-01 … PL-15).

AWS answers while it still works (`create-in-progress`, `modify-in-progress`); here the work is done before the reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.permissions import parse_cidr
from ringfence.api.ops.ec2.prefix_list_references import associations, unfit
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import PREFIX_LIST, PREFIX_LIST_VERSION, RESOURCE_SHARE
from ringfence.model.net import Network
from ringfence.model.nouns.prefix_list import PrefixList, PrefixListEntry, PrefixListVersion
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, delete, put

_FAMILIES = {"IPv4": 4, "IPv6": 6}
#: entries that one call may name, added and removed together
_AT_ONCE = 100


# ---------------------------------------------------------------------- reading
def _view(_world: World, row: PrefixList) -> Params:
    """A list. One of AWS has neither a version nor a size (PL-10)."""
    out: dict[str, object] = {
        "PrefixListId": row.id,
        "AddressFamily": f"IPv{row.family}",
        "State": row.state,
        "PrefixListArn": PREFIX_LIST.arn(row),
        "PrefixListName": row.name,
        "Tags": tag_list(row.tags),
        "OwnerId": row.owner_id,
    }
    if row.state_message is not None:
        out["StateMessage"] = row.state_message
    return out if row.of_aws else out | {"MaxEntries": row.max_entries, "Version": row.version}


_FILTERS: dict[str, Values] = {
    "owner-id": lambda _, row: (row.owner_id,),
    "prefix-list-id": lambda _, row: (row.id,),
    "prefix-list-name": lambda _, row: (row.name,),
}


@operation("ec2:DescribeManagedPrefixLists")
def describe_managed_prefix_lists(call: Call, world: World, params: Params) -> Outcome:
    """The caller's, AWS's and those shared with it (PL-13); tags are not shared."""
    wanted = params.get("PrefixListIds")
    if wanted and params.get("MaxResults") is not None:
        text = "The parameter MaxResults cannot be used with a list of ids"
        raise fault("InvalidParameterCombination", message=text)
    rows = _named(call, world, wanted)
    faces = [row if row.owner_id == call.account_id else replace(row, tags=()) for row in rows]
    shown, token = page(apply_filters(world, faces, params.get("Filters") or (), _FILTERS), params, low=1, high=100)
    return Outcome({"PrefixLists": [_view(world, row) for row in shown]} | ({"NextToken": token} if token else {}))


def _named(call: Call, world: World, ids: Sequence[str] | None) -> list[PrefixList]:
    """The lists of those ids, or all that the caller may see. ApiError InvalidPrefixListID.NotFound, .Malformed (PL-15)."""
    if not ids:
        return call.visible(world, PREFIX_LIST)
    return [call.get(world, PREFIX_LIST, id) for id in dict.fromkeys(ids)]


_OF_SERVICES: dict[str, Values] = {
    "prefix-list-id": lambda _, row: (row.id,),
    "prefix-list-name": lambda _, row: (row.name,),
}


@operation("ec2:DescribePrefixLists")
def describe_prefix_lists(call: Call, world: World, params: Params) -> Outcome:
    """The lists of AWS's services, with their blocks: those that endpoints lead to."""
    wanted = params.get("PrefixListIds")
    rows = _named(call, world, wanted)
    for row in rows:
        if wanted and not row.of_aws:
            raise fault(PREFIX_LIST.not_found, id=row.id)
    services = apply_filters(world, [row for row in rows if row.of_aws], params.get("Filters") or (), _OF_SERVICES)
    shown, token = page(services, params)
    lists = [
        {"PrefixListId": row.id, "PrefixListName": row.name, "Cidrs": [str(entry.cidr) for entry in row.entries]}
        for row in shown
    ]
    return Outcome({"PrefixLists": lists} | ({"NextToken": token} if token else {}))


@dataclass(frozen=True, slots=True)
class _Item:
    """A line of a listing that is no row: what pages need of it."""

    id: str
    view: Params
    tags: Tags = ()

    def tag(self, _key: str) -> str | None:
        return None


def _paged(member: str, items: Sequence[_Item], params: Params, high: int, low: int) -> Outcome:
    shown, token = page(items, params, low=low, high=high)
    return Outcome({member: [item.view for item in shown]} | ({"NextToken": token} if token else {}))


@operation("ec2:GetManagedPrefixListEntries")
def get_managed_prefix_list_entries(call: Call, world: World, params: Params) -> Outcome:
    """The entries of the newest version, or of TargetVersion (PL-03)."""
    row = call.get(world, PREFIX_LIST, params["PrefixListId"])
    entries = _entries_of(world, row, params.get("TargetVersion"))
    return _paged("Entries", [_Item(str(entry.cidr), _entry_view(entry)) for entry in entries], params, 100, 1)


def _entries_of(world: World, row: PrefixList, version: int | None) -> tuple[PrefixListEntry, ...]:
    if version is None or (version == row.version and not row.of_aws):
        return row.entries
    held = world.find(PREFIX_LIST_VERSION, PrefixListVersion.id_of(row.id, version))
    if held is None:
        raise fault("InvalidParameterValue", message=f"The prefix list {row.id} has no version {version}")
    return held.entries


def _entry_view(entry: PrefixListEntry) -> Params:
    return {"Cidr": str(entry.cidr)} | ({} if entry.description is None else {"Description": entry.description})


@operation("ec2:GetManagedPrefixListAssociations")
def get_managed_prefix_list_associations(call: Call, world: World, params: Params) -> Outcome:
    """PL-11: what refers to the list, in every account, for its owner; those of AWS tell nobody (PL-10)."""
    row = call.owned_row(world, PREFIX_LIST, params["PrefixListId"])
    items = [_Item(id, {"ResourceId": id, "ResourceOwner": owner}) for id, owner in associations(world, row.id)]
    return _paged("PrefixListAssociations", items, params, 255, 5)


# ---------------------------------------------------------------------- what is asked for
def _name(text: str) -> str:
    """PL-02."""
    if not 1 <= len(text) <= 255 or text.startswith("com.amazonaws"):
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter prefixListName is invalid. A name has 1 to 255 characters and may not "
            "start with com.amazonaws.",
        )
    return text


def _size(call: Call, wanted: int) -> int:
    """PL-02."""
    if not 1 <= wanted <= call.limits["entries-per-prefix-list"]:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({wanted}) for parameter maxEntries is invalid. It must be between 1 and "
            f"{call.limits['entries-per-prefix-list']}.",
        )
    return wanted


def _block(text: str, family: int) -> Network:
    """PL-01."""
    if (":" in text) != (family == 6):
        raise fault(
            "InvalidParameterValue", message=f"The CIDR {text} is not of the prefix list's address family, IPv{family}"
        )
    return parse_cidr(text, ipv6=family == 6)


def _entries(given: Iterable[Params], family: int) -> tuple[PrefixListEntry, ...]:
    """The entries of a request, each block once."""
    found: dict[Network, PrefixListEntry] = {}
    for item in given:
        block, description = _block(item["Cidr"], family), item.get("Description") or None
        if description is not None and len(description) > 255:
            raise fault("InvalidParameterValue", message="The description of an entry has at most 255 characters")
        if block in found:
            raise fault("InvalidParameterValue", message=f"The request names the CIDR {block} more than once")
        found[block] = PrefixListEntry(cidr=block, description=description)
    return tuple(found.values())


def _few(*lists: Sequence[object]) -> None:
    if sum(map(len, lists)) > _AT_ONCE:
        raise fault(
            "InvalidParameterValue",
            message=f"The request cannot contain more than {_AT_ONCE} entry additions or removals",
        )


def _fits(count: int, size: int) -> None:
    if count > size:
        raise fault("PrefixListMaxEntriesExceeded", limit=size)


# ---------------------------------------------------------------------- changing
@operation("ec2:CreateManagedPrefixList")
def create_managed_prefix_list(call: Call, world: World, params: Params) -> Outcome:
    """PL-01, PL-02, PL-14."""
    family = _FAMILIES.get(params["AddressFamily"])
    if family is None:
        raise fault("InvalidParameterValue", message="The address family of a prefix list is IPv4 or IPv6")
    name, size = _name(params["PrefixListName"]), _size(call, params["MaxEntries"])
    given = params.get("Entries") or ()
    _few(given)
    entries = _entries(given, family)
    _fits(len(entries), size)
    tags = tags_on_create(call, params, PREFIX_LIST)
    call.check_quota("prefix-lists", world.count_owned(PREFIX_LIST, call.account_id, call.region) + 1)
    row = PrefixList(
        id=call.ids.new(PREFIX_LIST.prefix), **call.owned(), tags=tags, name=name, family=family, max_entries=size,
        entries=entries,
    )  # fmt: skip
    return Outcome({"PrefixList": _view(world, row)}, put(PREFIX_LIST, row))


@operation("ec2:ModifyManagedPrefixList")
def modify_managed_prefix_list(call: Call, world: World, params: Params) -> Outcome:
    """PL-03 … PL-06: entries make a new version, name and size do not; entries and size never in one call."""
    row = call.owned_row(world, PREFIX_LIST, params["PrefixListId"])
    _check_version(row, params.get("CurrentVersion"))
    if params.get("IpamPrefixListResolverSyncEnabled") is not None:
        raise fault(
            "UnsupportedOperation", message="Prefix list resolvers of IPAM are not supported by this installation"
        )
    added, removed = params.get("AddEntries") or (), params.get("RemoveEntries") or ()
    name, size = params.get("PrefixListName"), params.get("MaxEntries")
    if size is not None and (added or removed):
        raise fault(
            "InvalidParameterCombination",
            message="You cannot modify the entries and the maximum entries for the prefix list in the same request.",
        )
    if name is None and size is None and not added and not removed:
        raise fault("MissingParameter", message="The request names nothing to modify")
    changed = replace(row, name=row.name if name is None else _name(name), state="modify-complete", state_message=None)
    if size is not None:
        return _done(world, _resized(call, world, changed, _size(call, size)))
    if not added and not removed:
        return _done(world, changed)
    return _new_version(call, world, row, changed, _modified(row, added, removed))


def _done(world: World, row: PrefixList) -> Outcome:
    return Outcome({"PrefixList": _view(world, row)}, put(PREFIX_LIST, row))


def _check_version(row: PrefixList, given: int | None) -> None:
    """PL-04."""
    if given is not None and given != row.version:
        raise fault("PrefixListVersionMismatch")


def _resized(call: Call, world: World, row: PrefixList, size: int) -> PrefixList:
    """PL-06: when what refers to the list has no room for the new size, the list keeps its size and says so."""
    _fits(len(row.entries), size)
    full = unfit(call, world, row, size) if size > row.max_entries else []
    if not full:
        return replace(row, max_entries=size)
    message = f"The following resources do not support the new maximum number of entries: {', '.join(full[:10])}"
    return replace(row, state="modify-failed", state_message=message)


def _modified(row: PrefixList, added: Sequence[Params], removed: Sequence[Params]) -> tuple[PrefixListEntry, ...]:
    """Removals first, then additions; a block that is there already gets the description it is added with."""
    _few(added, removed)
    gone = {entry.cidr for entry in _entries(removed, row.family)}
    came = _entries(added, row.family)
    both = [entry.cidr for entry in came if entry.cidr in gone]
    if both:
        raise fault("InvalidParameterValue", message=f"The request both adds and removes the CIDR {both[0]}")
    held = {entry.cidr: entry for entry in row.entries}
    for block in gone:
        if block not in held:
            raise fault("InvalidPrefixListModification", message=f"An entry with the CIDR ({block}) does not exist.")
        del held[block]
    for entry in came:
        if held.get(entry.cidr) == entry:
            message = (
                f"An entry with the CIDR ({entry.cidr}) and description ({entry.description or ''}) already exists."
            )
            raise fault("InvalidPrefixListModification", message=message)
        held[entry.cidr] = entry
    return tuple(held.values())


def _new_version(
    call: Call, world: World, old: PrefixList, row: PrefixList, entries: tuple[PrefixListEntry, ...]
) -> Outcome:
    """PL-03, PL-14: the version before is kept; of more than are allowed the oldest goes."""
    _fits(len(entries), row.max_entries)
    now = replace(row, entries=entries, version=old.version + 1)
    change = put(PREFIX_LIST, now) + _kept(call, world, old)
    return Outcome({"PrefixList": _view(world, now)}, change)


def _kept(call: Call, world: World, old: PrefixList) -> Change:
    before = PrefixListVersion(
        id=PrefixListVersion.id_of(old.id, old.version), owner_id=old.owner_id, region=old.region, list_id=old.id,
        version=old.version, entries=old.entries,
    )  # fmt: skip
    held = [*world.by(PREFIX_LIST_VERSION, "list", old.id), before]
    excess = len(held) + 1 - call.limits["prefix-list-versions"]
    change = put(PREFIX_LIST_VERSION, before)
    return change + delete(PREFIX_LIST_VERSION, *(version.id for version in held[: max(0, excess)]))


@operation("ec2:RestoreManagedPrefixListVersion")
def restore_managed_prefix_list_version(call: Call, world: World, params: Params) -> Outcome:
    """PL-07: a new version with the entries of an earlier one, if they are not more than MaxEntries."""
    row = call.owned_row(world, PREFIX_LIST, params["PrefixListId"])
    _check_version(row, params["CurrentVersion"])
    entries = _entries_of(world, row, params["PreviousVersion"])
    return _new_version(call, world, row, replace(row, state="restore-complete", state_message=None), entries)


@operation("ec2:DeleteManagedPrefixList")
def delete_managed_prefix_list(call: Call, world: World, params: Params) -> Outcome:
    """PL-09: not while anything refers to it, in any account."""
    row = call.owned_row(world, PREFIX_LIST, params["PrefixListId"])
    used = associations(world, row.id)
    if used:
        raise fault(
            "DependencyViolation",
            message=f"The prefix list '{row.id}' is referenced by {used[0][0]} and cannot be deleted.",
        )
    change = delete(PREFIX_LIST, row.id) + _out_of_shares(world, row)
    change += delete(PREFIX_LIST_VERSION, *(version.id for version in world.by(PREFIX_LIST_VERSION, "list", row.id)))
    return Outcome({"PrefixList": _view(world, replace(row, state="delete-complete", state_message=None))}, change)


def _out_of_shares(world: World, row: PrefixList) -> Change:
    """A list that is gone is shared no more."""
    key = f"{PREFIX_LIST.noun}/{row.id}"
    return put(
        RESOURCE_SHARE,
        *(
            replace(share, resources=tuple(held for held in share.resources if held.key != key))
            for share in world.by(RESOURCE_SHARE, "resource", key)
        ),
    )
