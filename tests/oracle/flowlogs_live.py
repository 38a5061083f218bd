"""A running installation's flow logs read by `flowlogs-reader`, unmodified: `python -m tests.oracle.flowlogs_live PYTHON`.

PYTHON is an interpreter that has `flowlogs-reader`. Real packets, a log group and a bucket, both read over the API by the
reader's own boto3 clients. Exit 1 when the reader does not add up what was sent. Needs what the data plane needs.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.test_flow_logs import CRAFTED, FlowLab, build, next_minute, until

_READER = """
import json, sys
import time
from datetime import datetime, timedelta
import boto3
from flowlogs_reader import FlowLogsReader, S3FlowLogsReader, aggregated_records
end = datetime.utcfromtimestamp(time.time()) + timedelta(minutes=10)  # the reader's own are naive
span = {'start_time': end - timedelta(hours=1), 'end_time': end}
make = lambda name: boto3.client(name, endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='FOOBARKEY',
                                 aws_secret_access_key='FOOBARSECRET')
readers = {
    'log group': FlowLogsReader('default', boto_client=make('logs'), **span),
    'bucket': S3FlowLogsReader('flow-files', boto_client=make('s3'), **span),
}
for name, reader in readers.items():
    records = [r for r in reader if r.srcport == 20641]
    print(json.dumps([name, len(records), sorted((r.interface_id, r.packets, r.bytes, r.action) for r in records)]))
"""


def delivered(lab: FlowLab) -> bool:
    """Are both ends' records in the log group, and files of both windows' ends in the bucket?"""
    logs, s3 = lab.client("logs"), lab.client("s3")
    if "default" not in [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]:
        return False
    lines = logs.filter_log_events(logGroupName="default", filterPattern="20641 OK")["events"]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="flow-files").get("Contents", ())]
    texts = [gzip.decompress(s3.get_object(Bucket="flow-files", Key=key)["Body"].read()).decode() for key in keys]
    return len(lines) >= 2 <= sum(text.count(" 20641 ") for text in texts)


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        lab = FlowLab(Path(home), "--flow-log-interval", "1")
        try:
            build(lab)
            next_minute(1)
            lab.guest("client", CRAFTED, "172.31.16.139", "172.31.16.21", 20641, 22, 20, 4249)
            until(lambda: delivered(lab), 180)
            done = subprocess.run(
                [sys.argv[1], "-c", _READER, lab.endpoint], capture_output=True, text=True, check=False, timeout=120
            )
        finally:
            lab.close()
        print(done.stdout, done.stderr, sep="")
        ends = sorted([lab.names["client-eni"], lab.names["server-eni"]])
        expected = [[eni, 20, 4249, "ACCEPT"] for eni in ends]
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return 0 if [each[2] for each in found] == [expected, expected] else 1


if __name__ == "__main__":
    sys.exit(main())
