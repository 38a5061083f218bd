"""PL-10: the lists that AWS manages are there in every World, and are nobody's to mistake."""

from __future__ import annotations

from ringfence.model.aws_prefix_lists import AWS_LISTS, find_list, service_list
from ringfence.model.endpoints import S3_ADDRESSES
from ringfence.model.ids import well_formed
from ringfence.model.kinds import PREFIX_LIST
from ringfence.model.nouns.prefix_list import PrefixList
from ringfence.model.regions import REGIONS
from ringfence.model.world import World, world_of


def test_every_region_has_the_list_of_its_s3_and_no_two_are_alike() -> None:
    for region in REGIONS:
        held = service_list(region, "s3")
        assert held is not None
        assert held.of_aws
        assert well_formed("pl-", held.id)
        assert [S3_ADDRESSES[region] in entry.cidr for entry in held.entries] == [True]
    assert len(AWS_LISTS) == len(REGIONS)
    assert service_list("us-east-1", "dynamodb") is None


def test_a_row_goes_before_a_list_of_aws_and_unknown_ids_name_none() -> None:
    ours = next(iter(AWS_LISTS.values()))
    row = PrefixList(id=ours.id, owner_id="1", region="us-east-1", name="mine", family=4, max_entries=1)
    assert find_list(World(), ours.id) is ours
    assert find_list(world_of([(PREFIX_LIST, row)]), ours.id) is row
    assert find_list(World(), "pl-63a5400a") is None
    assert find_list(World(), None) is None
