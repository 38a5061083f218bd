"""What new instances get of metadata options: image, account, launch (EC2 User Guide: order of precedence; UF-11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringfence.api.images import Images
from tests.api.ops.harness import Api


@pytest.fixture
def api() -> Api:
    return Api(defaults=True)


def launched(api: Api, ami: str, **options: Any) -> tuple[str, int]:
    more = {"MetadataOptions": options} if options else {}
    made = api.call("RunInstances", ImageId=ami, MinCount=1, MaxCount=1, **more)["Instances"][0]["MetadataOptions"]
    return made["HttpTokens"], made["HttpPutResponseHopLimit"]


def test_order_of_precedence(api: Api, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    api.images = Images((tmp_path,))
    old = api.call("RegisterImage", Name="older", ImageLocation=f"file:{tmp_path}/root")["ImageId"]
    new = api.call("RegisterImage", Name="newer", ImageLocation=f"file:{tmp_path}/root", ImdsSupport="v2.0")["ImageId"]
    assert (launched(api, old), launched(api, new)) == (("optional", 1), ("required", 2))
    api.call("ModifyInstanceMetadataDefaults", HttpTokens="required", HttpPutResponseHopLimit=3)
    assert (launched(api, old), launched(api, new)) == (("required", 3), ("required", 3))
    assert launched(api, new, HttpTokens="optional") == ("optional", 3)


def test_built_in_images_ask_for_imds_v2(api: Api) -> None:
    shown = api.call("DescribeImages", Owners=["amazon"])["Images"]
    assert {each["ImdsSupport"] for each in shown} == {"v2.0"}


def test_preferences_are_shown_and_taken_back(api: Api) -> None:
    def get() -> Any:
        return api.call("GetInstanceMetadataDefaults")["AccountLevel"]

    assert get() == {"ManagedBy": "account"}
    api.call("ModifyInstanceMetadataDefaults", HttpTokens="required", HttpPutResponseHopLimit=2, HttpEndpoint="enabled")
    api.call("ModifyInstanceMetadataDefaults", InstanceMetadataTags="enabled")
    assert get() == {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled",
                     "InstanceMetadataTags": "enabled", "ManagedBy": "account"}  # fmt: skip
    api.call("ModifyInstanceMetadataDefaults", HttpTokens="no-preference", HttpPutResponseHopLimit=-1)
    assert get() == {"HttpEndpoint": "enabled", "InstanceMetadataTags": "enabled", "ManagedBy": "account"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"HttpPutResponseHopLimit": 0}, "InvalidParameterValue"),
        ({"HttpPutResponseHopLimit": 65}, "InvalidParameterValue"),
        ({"HttpTokensEnforced": "enabled"}, "UnsupportedOperation"),
    ],
)
def test_refusals(api: Api, params: dict[str, Any], code: str) -> None:
    assert api.error("ModifyInstanceMetadataDefaults", **params) == code
