"""`ringfence free-text`, and the warning in the log: the place and the sort, never the text (DATA-06)."""

from __future__ import annotations

import logging

import pytest

from ringfence.free_text_warnings import FreeTextWarner
from tests.api.front import Front
from tests.cli.serving import Host, client_of

CARD = "4111111111111111"


def test_the_command(host: Host) -> None:
    server = host.up("--ephemeral", "--account-id", "123456789012")
    clean = host.run("free-text")
    assert (clean.returncode, clean.stdout) == (0, "nothing found\n"), clean.stderr
    made = client_of(host, "ec2", server.endpoint).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    client_of(host, "ec2", server.endpoint).create_tags(Resources=[made], Tags=[{"Key": "Paid", "Value": CARD}])
    done = host.run("free-text")
    arn = f"arn:aws:ec2:us-east-1:123456789012:vpc/{made}"
    assert (done.returncode, done.stdout) == (1, f"{arn}  tags/Paid: looks like a payment card\n")
    listed = host.run("free-text", "--json")
    assert listed.returncode == 1
    assert CARD not in listed.stdout
    assert arn in listed.stdout


def test_the_log_is_warned_once_and_without_the_text(caplog: pytest.LogCaptureFixture) -> None:
    front, warner = Front(), FreeTextWarner()
    front.store.subscribe(warner.note)
    ec2 = front.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with caplog.at_level(logging.WARNING):
        for value in ("x", CARD, CARD):
            ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Paid", "Value": value}])
            warner.tell()
        ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "Paid"}])
        warner.tell()
    assert [
        record.getMessage().partition("  ")[0].endswith("tags/Paid looks like a payment card")
        for record in caplog.records
    ] == [True]
    assert CARD not in caplog.text
