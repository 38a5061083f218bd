"""An installation that starts with an imported network: its rows, with the ids they came with."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.ec2.images import builtin_images
from ringfence.insight.imports.draft import Options
from ringfence.insight.imports.load import Network, load
from ringfence.insight.imports.notes import ImportProblem
from ringfence.model import invariants
from ringfence.model.kinds import GAP, IMAGE, REGION, VPC
from ringfence.model.nouns.network import RegionState
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
    _refuse(network.world)
    owners = sorted({vpc.owner_id for vpc in network.world.all(VPC)})
    account = settings.account_id or (owners[0] if owners and owners[0] != "000000000000" else None)
    return replace(settings, account_id=account), network


def _refuse(world: World) -> None:
    """What is not wholly known can be analysed, not enforced."""
    gaps = [f"{gap.element}: {gap.why}" for gap in world.all(GAP)]
    wrong = gaps or invariants.check(world)
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise SettingsError(f"the network cannot be enforced, only analysed: {'; '.join(wrong[:3])}{more}")
    foreign = sorted({vpc.region for vpc in world.all(VPC)} - REGIONS.keys())
    if foreign:
        raise SettingsError(f"the network is in Regions that are not served here: {', '.join(foreign)}")


def start_with(store: Store, network: Network) -> None:
    """The network's rows, in one commit. SettingsError when the installation has a network already."""

    def decide(world: World) -> Commit:
        if world.all(VPC):
            raise SettingsError("--import starts a new installation, and this one has VPCs already")
        change = Change(tuple(Put(kind, row) for kind, row in network.world))
        places = {(vpc.owner_id, vpc.region) for vpc in network.world.all(VPC)}
        for owner, region in sorted(places):  # no default VPC is added to it
            change += put(REGION, RegionState(id=f"{owner}/{region}", owner_id=owner, region=region))
        for region in sorted({region for _, region in places}):
            change += put(IMAGE, *builtin_images(region))
        return Commit(change=change)

    store.write(decide)
