"""SQL over sealed flow logs (DATA-05): the same answers as over plain ones, by the front door, and nothing of them on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence import flow_sql
from ringfence.notes import Note
from ringfence.sealed_files import CannotOpen, SealedFiles
from ringfence.store.buckets import BucketFiles
from tests.api.front import ACCOUNT, KEY, SECRET, Front
from tests.api.live import Live
from tests.insight.flowlogs.test_queries import Delivered

SQL = "SELECT srcaddr, dstport, bytes, action FROM flows ORDER BY ALL"


class Lab:
    """The files of `Delivered`, sealed: every other one with a key of KMS."""

    def __init__(self, folder: Path) -> None:
        self.plain = Delivered(folder / "plain").folder
        front = Front()
        front.objects = front.pipeline.objects = BucketFiles(folder / "buckets", front.sealer)
        self.buckets, self.live = folder / "buckets", Live(front)
        s3, self.kms = self.live.client("s3"), self.live.client("kms")
        self.key = self.kms.create_key()["KeyMetadata"]["Arn"]
        s3.create_bucket(Bucket="logs")
        ways = ({"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key})
        paths = sorted(path for path in self.plain.rglob("*") if path.is_file())
        for number, path in enumerate(paths):
            key = str(path.relative_to(self.plain / "logs"))
            s3.put_object(Bucket="logs", Key=key, Body=path.read_bytes(), **ways[number % 2])
        self.opens = SealedFiles(self._note)

    def _note(self) -> Note:
        return Note(
            endpoint=self.live.url, pid=0, run=str(self.buckets.parent / "run"), region="us-east-1", account_id=ACCOUNT,
            access_key=KEY, secret_key=SECRET, started=0,
        )  # fmt: skip

    def close(self) -> None:
        self.opens.close()
        self.live.stop()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("sealed"))
    yield made
    made.close()


def test_the_answers_are_those_of_the_plain_files(lab: Lab) -> None:
    sealed = flow_sql.run(flow_sql.connect([lab.buckets], lab.opens.plain), SQL)[1]
    assert sealed == flow_sql.run(flow_sql.connect([lab.plain]), SQL)[1]
    assert len(sealed) >= 5
    both = flow_sql.run(flow_sql.connect([lab.plain, lab.buckets], lab.opens.plain), "SELECT count(*) FROM flows")[1]
    assert both == [(2 * len(sealed),)]


def test_what_cannot_be_opened_is_said(lab: Lab, tmp_path: Path) -> None:
    some = next(path for path in lab.buckets.rglob("*.log.gz"))
    away = tmp_path / "vpcflowlogs" / some.name
    away.parent.mkdir()
    away.write_bytes(some.read_bytes())
    with pytest.raises(CannotOpen, match="not in a bucket"):
        flow_sql.connect([tmp_path], lab.opens.plain)
    lab.kms.disable_key(KeyId=lab.key)
    with pytest.raises(CannotOpen, match=r"KMS\.DisabledException"):
        flow_sql.connect([lab.buckets], lab.opens.plain)
    lab.kms.enable_key(KeyId=lab.key)
