"""Rule change → enforced: API call to the agent's "applied", at N interfaces; beside one `nft` process per change.

    python -m bench.rule_change [INTERFACES] [CHANGES]

Builds one VPC with INTERFACES unattached interfaces and 100 groups of 50 rules on a running data plane of its own, then
changes one rule at a time. Latency is from the API reply to the generation being applied.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.lab import Lab

from ringfence.control import ask


def main() -> int:
    """Prints one JSON line."""
    interfaces = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    changes = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    with tempfile.TemporaryDirectory() as home:
        lab = Lab(Path(home))
        try:
            print(json.dumps(measure(lab, Path(home), interfaces, changes)))
        finally:
            lab.close()
    return 0


def measure(lab: Lab, home: Path, interfaces: int, changes: int) -> dict[str, object]:
    """Build, then change."""
    vpc, _ = lab.vpc("10.0.0.0/16")
    subnet = lab.subnet(vpc, "10.0.0.0/20")
    groups = []
    for number in range(100):
        group = lab.ec2.create_security_group(GroupName=f"g{number}", Description="bench", VpcId=vpc)["GroupId"]
        ranges = [{"IpProtocol": "tcp", "FromPort": 1000 + n, "ToPort": 1000 + n, "IpRanges": [{"CidrIp": f"10.{n}.0.0/16"}]}
                  for n in range(50)]  # fmt: skip
        lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ranges)
        groups.append(group)
    run = Path(json.loads((home / "instances" / f"{lab.port}.json").read_text())["run"]) / "api.sock"
    started = time.monotonic()
    for number in range(interfaces):
        lab.ec2.create_network_interface(SubnetId=subnet, Groups=[groups[number % 100]])
    ask(run, {"do": "wait", "timeout": 300}, timeout=320)
    built = time.monotonic() - started
    seconds = []
    for number in range(changes):
        permission = {
            "IpProtocol": "udp",
            "FromPort": number,
            "ToPort": number,
            "IpRanges": [{"CidrIp": "10.9.0.0/16"}],
        }
        lab.ec2.authorize_security_group_ingress(GroupId=groups[number % 100], IpPermissions=[permission])
        replied = time.monotonic()
        ask(run, {"do": "wait", "timeout": 30})
        seconds.append(time.monotonic() - replied)
    seconds.sort()
    return {
        "interfaces": interfaces,
        "rules": 5000,
        "ms_per_interface": round(1000 * built / interfaces, 1),
        "change_p50_ms": round(1000 * statistics.median(seconds), 1),
        "change_p99_ms": round(1000 * seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))], 1),
    }


if __name__ == "__main__":
    sys.exit(main())
