"""The AWS service models (from botocore): which services, operations and shapes exist."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.loaders
import botocore.model

#: credential-scope names that differ from the model's directory name
_ALIASES = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi", "elasticloadbalancing": "elbv2",
            "states": "stepfunctions", "access-analyzer": "accessanalyzer", "servicequotas": "service-quotas"}  # fmt: skip


@cache
def _loader() -> Any:
    return botocore.loaders.Loader()


@cache
def service_names() -> frozenset[str]:
    """Every service the installed botocore has a model of."""
    return frozenset(_loader().list_available_services("service-2"))


@cache
def service(scope: str) -> Any | None:
    """The botocore ServiceModel for a credential-scope service name, or None."""
    name = _ALIASES.get(scope, scope)
    if name not in service_names():
        return None
    return botocore.model.ServiceModel(_loader().load_service_model(name, "service-2"), name)


@cache
def operation(scope: str, action: str) -> Any | None:
    """The OperationModel, or None when the service has no such action."""
    model = service(scope)
    if model is None or action not in model.operation_names:
        return None
    return model.operation_model(action)


@cache
def exceptions(scope: str) -> dict[str, str] | None:
    """Error code → name of its shape, of a service whose newer protocols stay compatible with Query; None for others.

    Smithy "awsQueryCompatible trait": the shape stands in the body, the code in the header `x-amzn-query-error`.
    """
    model = service(scope)
    if model is None or "awsQueryCompatible" not in model.metadata:
        return None
    shapes = _loader().load_service_model(_ALIASES.get(scope, scope), "service-2")["shapes"]
    return {
        str(shape.get("error", {}).get("code", name)): str(name)
        for name, shape in shapes.items()
        if shape.get("exception")
    }


@cache
def protocol(scope: str) -> str | None:
    """The protocol the model names first: `ec2`, `query`, `json`, `rest-json`, `rest-xml` …; None for an unknown service."""
    model = service(scope)
    return None if model is None else str(model.metadata.get("protocol"))


@cache
def namespace(scope: str) -> str:
    """The XML namespace of a Query service's replies. AttributeError for an unknown service."""
    model: Any = service(scope)
    return str(model.metadata.get("xmlNamespace") or f"http://{scope}.amazonaws.com/doc/{model.api_version}/")
