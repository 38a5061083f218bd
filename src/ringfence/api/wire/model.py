"""The AWS service models (from botocore): which services, operations and shapes exist."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.loaders
import botocore.model

#: credential-scope names that differ from the model's directory name
_ALIASES = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi", "email": "ses", "elasticloadbalancing":
            "elbv2", "ram": "ram", "states": "stepfunctions", "execute-api": "apigateway"}  # fmt: skip


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
def protocol(scope: str) -> str | None:
    """`ec2`, `query`, `json`, `rest-json` or `rest-xml`; None for an unknown service.

    botocore lists the protocols a service speaks in order of preference; errors are wanted in the first we know.
    """
    model = service(scope)
    if model is None:
        return None
    return str(model.metadata.get("protocol"))
