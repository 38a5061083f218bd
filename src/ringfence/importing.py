"""An installation that starts with an imported network: its rows, with the ids they came with."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.ec2.images import builtin_images
from ringfence.insight.imports.draft import Options
from ringfence.insight.imports.load import Network, load
from ringfence.insight.imports.notes import ImportProblem
from ringfence.model import invariants
from ringfence.model.accounts import account_of
from ringfence.model.aws_prefix_lists import find_list, service_list, service_name
from ringfence.model.kinds import ACCOUNT, GAP, IMAGE, PREFIX_LIST, REGION, ROUTE_TABLE, VPC, VPC_ENDPOINT
from ringfence.model.nouns.network import RegionState
from ringfence.model.nouns.prefix_list import AWS, PrefixList
from ringfence.model.regions import REGIONS
from ringfence.model.world import Change, Put, World, put
from ringfence.settings import Settings, SettingsError
from ringfence.store.store import Commit, Store


def with_account(settings: Settings) -> tuple[Settings, Network | None]:
    """The network to start with, and the settings with its account unless another one was asked for. SettingsError."""
    if settings.imported is None:
        return settings, None
    try:
        network = load(settings.imported, Options(settings.account_id, settings.region, settings.assume_defaults))
    except ImportProblem as problem:
        raise SettingsError(str(problem)) from None
    refuse(network.world)
    owners = sorted({vpc.owner_id for vpc in network.world.all(VPC)})
    account = settings.account_id or next((o for o in owners if o != "000000000000"), next(iter(owners), None))
    mine = sorted({vpc.region for vpc in network.world.all(VPC) if vpc.owner_id == account})
    region = settings.region if settings.region in mine or not mine else mine[0]
    return replace(settings, account_id=account, region=region), network


def refuse(world: World) -> None:
    """What is not wholly known can be analysed, not enforced: packets would take other ways than in the network.

    What is not modelled is shut: a route to it drops, a rule with a list whose entries are not known matches nothing.
    """
    gaps = [f"{gap.element}: {gap.why}" for gap in world.all(GAP)]
    gaps += [
        f"{id}: it adds routes to {table.id} that are not known"
        for table in world.all(ROUTE_TABLE)
        for id in table.unread
    ]
    wrong = gaps or invariants.check(world)
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise SettingsError(f"the network cannot be enforced, only analysed: {'; '.join(wrong[:3])}{more}")
    foreign = sorted({vpc.region for vpc in world.all(VPC)} - REGIONS.keys())
    if foreign:
        raise SettingsError(f"the network is in Regions that are not served here: {', '.join(foreign)}")


def service_lists(world: World) -> tuple[PrefixList, ...]:
    """AWS's lists that gateway endpoints lead to and whose entries the import does not tell, as they are here.

    A list holds the addresses of its service: here those of this installation's Amazon S3, and none of a service that is not
    served. The ids are the import's, so that rules which name them mean the same.
    """
    found: dict[str, PrefixList] = {}
    for table in world.all(ROUTE_TABLE):
        for route in table.listed:
            if find_list(world, route.prefix_list_id) is None:
                endpoint = world.find(VPC_ENDPOINT, route.target_id)
                ours = service_list(endpoint.region, "s3") if endpoint is not None else None
                found[route.prefix_list_id] = PrefixList(
                    id=route.prefix_list_id, owner_id=AWS, region=table.region, max_entries=1, family=4,
                    name=endpoint.service_name if endpoint is not None else service_name(table.region, "not-served"),
                    entries=ours.entries if ours is not None else (),
                )  # fmt: skip
    return tuple(found.values())


def said(network: Network) -> str:
    """What of the network is not enforced as it was."""
    lists = {row.id: row for row in service_lists(network.world)}
    shut = sorted(network.notes.not_modelled.keys() - lists.keys())
    ours, empty = ([id for id in sorted(lists) if bool(lists[id].entries) is some] for some in (True, False))
    parts = (
        (shut, "not modelled, nothing passes by them"), (ours, "lists that hold this installation's addresses of Amazon S3"),
        (empty, "lists that hold nothing, of services that are not served"),
    )  # fmt: skip
    told = [f"{what}: {', '.join(ids)}" for ids, what in parts if ids]
    return "; ".join(told) or "all of it is enforced"


def start_with(store: Store, network: Network, own: str | None) -> None:
    """The network's rows, in one commit; `own`: the account of the installation. SettingsError when it has a network already."""

    def decide(world: World) -> Commit:
        if world.all(VPC):
            raise SettingsError("--import starts a new installation, and this one has VPCs already")
        change = Change(tuple(Put(kind, row) for kind, row in network.world)) + put(
            PREFIX_LIST, *service_lists(network.world)
        )
        places = {(vpc.owner_id, vpc.region) for vpc in network.world.all(VPC)}
        others = sorted({owner for owner, _ in places} - {own})  # `ringfence account key` gives their keys
        change += put(ACCOUNT, *(account_of(world, owner) for owner in others))
        for owner, region in sorted(places):  # no default VPC is added to it
            change += put(REGION, RegionState(id=f"{owner}/{region}", owner_id=owner, region=region))
        for region in sorted({region for _, region in places}):
            change += put(IMAGE, *builtin_images(region))
        return Commit(change=change)

    store.write(decide)
