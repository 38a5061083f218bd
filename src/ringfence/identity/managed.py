"""The text of a managed policy by its ARN, AWS's or a customer's (IAM User Guide: "Managed policies and inline policies")."""

from __future__ import annotations

from ringfence.identity.aws_managed import aws_managed
from ringfence.model.kinds import MANAGED_POLICY
from ringfence.model.world import World


def managed_text(world: World, arn: str) -> str | None:
    """The JSON of the default version; None when there is no such policy."""
    aws = aws_managed().get(arn)
    if aws is not None:
        return aws.text
    fields = arn.split(":", 5)
    if len(fields) != 6:
        return None
    name = fields[5].rpartition("/")[2]
    found = world.by(MANAGED_POLICY, "name", f"{fields[4]}/{name.lower()}")
    return next((policy.text for policy in found if MANAGED_POLICY.arn(policy) == arn), None)
