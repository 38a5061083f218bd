"""AWS managed policies (IAM-39; AWS Managed Policy Reference Guide): a selection as data, read-only, the same in every account.

`aws_managed.json` has one policy a line as AWS published it (newest of them 2026-09-30): name, path, default version, times
and document. Only the default version of each is known, and only it can be read. Their unique ids are ours: AWS's are
not published.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from ringfence.model.kinds import MANAGED_POLICY
from ringfence.model.nouns.identity import GLOBAL, ManagedPolicy, PolicyVersion

OWNER = "aws"


@cache
def aws_managed() -> Mapping[str, ManagedPolicy]:
    """ARN -> policy, in the order of their names."""
    text = resources.files("ringfence.identity").joinpath("aws_managed.json").read_text()
    policies = [_policy(entry) for entry in json.loads(text)]
    return {MANAGED_POLICY.arn(policy): policy for policy in policies}


def _policy(entry: Mapping[str, Any]) -> ManagedPolicy:
    updated = datetime.fromisoformat(entry["updated"]).timestamp()
    document = json.dumps(entry["document"], separators=(",", ":"))
    digest = hashlib.sha256(f"{entry['path']}{entry['name']}".encode()).digest()
    return ManagedPolicy(
        id="ANPA" + base64.b32encode(digest).decode()[:17],
        owner_id=OWNER,
        region=GLOBAL,
        name=entry["name"],
        path=entry["path"],
        created=datetime.fromisoformat(entry["created"]).timestamp(),
        versions=(PolicyVersion(id=entry["version"], text=document, created=updated),),
        default=entry["version"],
    )
