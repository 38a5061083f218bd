"""`aws cloudtrail validate-logs` against a running server: optional, because the AWS CLI is too large a test dependency.

    python -m tests.oracle.cloudtrail_validate [path of aws]

Makes a bucket and a trail over the API, three hours of calls and deliveries, and lets the unmodified CLI judge them; then one log file
is changed and one removed, and the CLI must find both.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from tests.api.front import KEY, SECRET
from tests.api.live import Live
from tests.api.test_trail_proof import Proof


def validate(aws: str, url: str, arn: str, start: str, end: str) -> str:
    """What the CLI says."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    command = [
        aws,
        "cloudtrail",
        "validate-logs",
        "--trail-arn",
        arn,
        "--start-time",
        start,
        "--end-time",
        end,
        "--verbose",
    ]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return ran.stdout + ran.stderr


def main() -> int:
    aws = sys.argv[1] if len(sys.argv) > 1 else "aws"
    with tempfile.TemporaryDirectory() as folder:
        proof = Proof(Path(folder))
        server = Live(proof.front)
        try:
            now = proof.front.clock.now()
            start, end = ((now + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-1, 5))
            whole = validate(aws, server.url, proof.arn, start, end)
            changed, removed = proof.log_files()[:2]
            body = gzip.decompress(proof.files.read("trail-logs", changed)).replace(b"10.", b"11.")
            proof.files.put("trail-logs", changed, gzip.compress(body + b" "))
            proof.files.delete("trail-logs", removed)
            broken = validate(aws, server.url, proof.arn, start, end)
        finally:
            server.stop()
    print(whole, broken, sep="\n--- one log file changed, one removed:\n")
    good = "3/3 digest files valid" in whole and "3/3 log files valid" in whole
    found = "1/3 log files valid, 2/3 log files INVALID" in broken
    print("validate-logs:", "agrees" if good and found else "DISAGREES")
    return 0 if good and found else 1


if __name__ == "__main__":
    sys.exit(main())
