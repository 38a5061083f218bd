"""AWS's own analyzer APIs over an imported network: what is not known is an unsupported component, or unknown findings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.ops.harness import Api
from tests.insight.imports.recording import ENI, INSTANCE, OTHER, imported, site
from tests.insight.imports.test_describe import UNKNOWN

#: cases that may be served: nothing is missing, something is not modelled; and the element that says so
CASES = {
    "an interface that no group filters": OTHER,
    "Block Public Access": "vpc-00000000000000001",
    "a list in a rule": "pl-2",
}


def served(case: str | None) -> Api:
    documents = site()
    documents["subnets"]["Subnets"][0]["AvailabilityZone"] = "us-east-1a"
    if case is not None:
        UNKNOWN[case][0](documents)
    api = Api()
    api.world = imported(documents).world
    return api


def findings(api: Api) -> dict[str, Any]:
    """A scope about packets from the first interface to the second."""
    source, destination = ({"ResourceStatement": {"Resources": [id]}} for id in (ENI, OTHER))
    paths = [{"Source": source, "Destination": destination}]
    scope = api.call("CreateNetworkInsightsAccessScope", ClientToken="a", MatchPaths=paths)[
        "NetworkInsightsAccessScope"
    ]
    id = scope["NetworkInsightsAccessScopeId"]
    done = api.call("StartNetworkInsightsAccessScopeAnalysis", NetworkInsightsAccessScopeId=id, ClientToken="b")
    return dict(done["NetworkInsightsAccessScopeAnalysis"])


def test_a_network_that_is_known() -> None:
    assert findings(served(None))["FindingsFound"] == "true"


@pytest.mark.parametrize("case", CASES)
def test_findings_are_unknown(case: str) -> None:
    """Never "none": groups bound nothing where something is not known."""
    done = findings(served(case))
    assert done["FindingsFound"] == "unknown"
    assert CASES[case] in done["WarningMessage"]


def test_an_analysis_names_the_component() -> None:
    api = served("NAT gateway")
    path = api.call(
        "CreateNetworkInsightsPath", Source=INSTANCE, DestinationIp="8.8.8.8", Protocol="tcp", DestinationPort=80, ClientToken="a"
    )["NetworkInsightsPath"]  # fmt: skip
    id = path["NetworkInsightsPathId"]
    done = api.call("StartNetworkInsightsAnalysis", NetworkInsightsPathId=id, ClientToken="b")[
        "NetworkInsightsAnalysis"
    ]
    assert done.get("NetworkPathFound") is None, "neither reachable nor not"
    assert [each["ExplanationCode"] for each in done["Explanations"]] == ["UNSUPPORTED_COMPONENT"]
