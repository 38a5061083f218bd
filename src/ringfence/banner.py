"""What an installation says of itself when it starts."""

from __future__ import annotations

from ringfence import fips
from ringfence.api.ops.registry import OPERATIONS
from ringfence.settings import Root, Settings


def _rates_line(factor: float | None) -> str:
    if factor is None:
        return "NOT enforced: request rates (--rate-limits off)"
    times = "AWS's" if factor == 1 else f"{factor:g} times AWS's"
    return f"enforced: request rates of each account, {times} (--rate-limits aws|off|FACTOR)"


def banner(settings: Settings, root: Root, plane: str) -> list[str]:
    """What is served and kept, and what is enforced and what is not."""
    lines = [f"Ringfence serves {len(OPERATIONS)} operations on {settings.endpoint} (account {root.account_id})"]
    if root.made:
        kept = "" if settings.ephemeral else "shown once; "
        lines.append(f"root key {root.access_key}  secret {root.secret_key}  ({kept}`ringfence env` has it)")
    lines.append(
        "kept: nothing; the end of this process forgets everything (--ephemeral, written without fsync)"
        if settings.ephemeral
        else f"kept in {settings.data}: every change is on disk before its reply"
    )
    if settings.tls_names:
        lines.append(
            f"TLS: a certificate of its own authority for {', '.join(settings.tls_names)}; `ringfence env` has the CA"
        )
    lab = " (lab quotas: more VPCs, gateways and addresses)" if settings.lab else ""
    lines.append(f"enforced: Signature Version 4, IAM policies and audit on every call, every quota{lab}")
    lines.append(_rates_line(settings.rate_factor))
    lines += fips.statement(fips.modes()) if settings.fips else []
    lines.append(
        "NOT enforced: packets (no data plane); instances are records only"
        if plane == "none"
        else f"enforced: security groups, network ACLs, routes, internet gateways, VPC peering, S3 endpoints on real packets ({plane})"
    )
    if plane != "none":
        lines.append("instances reach the AWS APIs by their usual names, through an internet gateway (docs/adr/0009)")
    lines.append("not yet: NAT gateways" if plane != "none" else "not here: flow logs; not yet: NAT gateways")
    return lines
