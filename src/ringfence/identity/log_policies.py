"""The resource policies of CloudWatch Logs in one account and Region, as one policy that its log groups have (CloudWatch Logs API
Reference: PutResourcePolicy; IAM User Guide: "Identity-based policies and resource-based policies").

The policies have a say about every group: they let services and principals of the account in, and what they deny is denied.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from ringfence.identity.question import Attached
from ringfence.model.kinds import LOG_RESOURCE_POLICY
from ringfence.model.world import World


def policy_of(world: World, account_id: str, region: str) -> Attached | None:
    """None when there are none."""
    rows = world.all(LOG_RESOURCE_POLICY, account_id, region)
    if not rows:
        return None
    return Attached(
        f"arn:aws:logs:{region}:{account_id}:resource-policies", _merged(tuple(row.document for row in rows))
    )


@lru_cache(256)
def _merged(documents: tuple[str, ...]) -> str:
    """All statements as one document. Policies of the older version have no variables: a `$` in them is one."""
    statements: list[Any] = []
    for text in documents:
        document = json.loads(text)
        if document.get("Version") != "2012-10-17":
            document = json.loads(text.replace("${", "${$}{"))
        given = document["Statement"]
        statements += given if isinstance(given, list) else [given]
    for statement in statements:
        statement.pop("Sid", None)  # several policies may use one name
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
