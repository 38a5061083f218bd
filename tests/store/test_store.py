"""The store: codec, durability, kill -9, one process per directory (RES-08, docs/adr/0001)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringfence.model.codec import decode, encode
from ringfence.model.errors import ApiError
from ringfence.model.kinds import REGION, VPC
from ringfence.model.nouns.network import RegionState
from ringfence.model.world import put
from ringfence.store.sqlite import LOG_BYTES, MIGRATIONS, SqliteStore, StoreError
from ringfence.store.store import Commit, MemoryStore, Store
from tests.api.ops.harness import Api, tcp


def populated() -> Api:
    api = Api(defaults=True)
    vpc = api.vpc(
        AmazonProvidedIpv6CidrBlock=True,
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    group = api.group(vpc)
    api.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[tcp(22)])
    subnet = api.subnet(vpc)
    api.interface(subnet, group, ConnectionTrackingSpecification={"UdpTimeout": 40})
    api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=2, UserData="IyEvYmluL3NoCg==")
    api.call("CreateKeyPair", KeyName="k", KeyType="ed25519")
    api.call("AllocateAddress")
    acl = api.call("CreateNetworkAcl", VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    api.call("CreateNetworkAclEntry", NetworkAclId=acl, RuleNumber=5, Protocol="1", RuleAction="deny", Egress=True,
             CidrBlock="10.0.0.0/8", IcmpTypeCode={"Type": 8, "Code": -1})  # fmt: skip
    return api


def _state(number: int) -> RegionState:
    return RegionState(id=str(number), owner_id="1", region="us-east-1")


def test_the_generation_goes_on_after_a_reset_and_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    for number in (1, 2):
        store.write(lambda _, number=number: Commit(change=put(REGION, _state(number))))
    store.reset()
    assert store.world.generation == 3
    store.close()
    again = SqliteStore(tmp_path / "r.db")
    assert again.world.generation == 3
    again.write(lambda _: Commit(change=put(REGION, _state(1))))
    again.close()
    last = SqliteStore(tmp_path / "r.db")
    assert last.world.generation == 4
    last.close()


def test_lengthening_the_log_changes_nothing(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "r.db", durable=False).close()
    before = (tmp_path / "r.db").read_bytes()
    store = SqliteStore(tmp_path / "r.db")
    assert (tmp_path / "r.db-wal").stat().st_size > LOG_BYTES - 4096
    assert store._db.execute("pragma cache_size").fetchone() == (-2000,)
    store.close()
    assert (tmp_path / "r.db").read_bytes() == before


def test_every_row_survives_the_codec() -> None:
    rows = list(populated().world)
    assert len({kind.noun for kind, _ in rows}) >= 12
    for kind, row in rows:
        assert decode(kind.row, encode(row)) == row


def test_a_field_of_a_newer_version_is_refused() -> None:
    row = Api(defaults=True).world.all(VPC)[0]
    with pytest.raises(ValueError, match="newer version"):
        decode(VPC.row, encode(row).replace('"id"', '"unheard_of":1,"id"', 1))


@pytest.mark.parametrize("durable", [True, False])
def test_a_world_is_read_back_in_order(tmp_path: Path, durable: bool) -> None:
    api = populated()
    store = SqliteStore(tmp_path / "r.db", durable=durable)
    for kind, row in api.world:
        store.write(lambda _world, kind=kind, row=row: Commit(change=put(kind, row)))
    generation = store.world.generation
    store.close()
    again = SqliteStore(tmp_path / "r.db", durable=durable)
    assert list(again.world) == list(api.world)
    assert again.world.generation == generation
    again.close()


def test_a_fault_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    before = store.world

    def refuse(_world: object) -> Commit:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(refuse)
    assert store.world is before
    store.close()


def test_a_failing_disk_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    row = Api(defaults=True).world.all(VPC)[0]
    store._db.execute("pragma query_only=on")
    before = store.world
    with pytest.raises(ApiError, match="InternalError"):
        store.write(lambda _: Commit(change=put(VPC, row)))
    assert store.world is before
    store._db.execute("pragma query_only=off")
    store.write(lambda _: Commit(change=put(VPC, row)))
    store.close()


@pytest.mark.parametrize("make", [lambda path: SqliteStore(path / "r.db"), lambda _path: MemoryStore()])
def test_audit_and_tokens(tmp_path: Path, make: object) -> None:
    store: Store = make(tmp_path)  # type: ignore[operator]
    store.audit(b"one")
    store.write(lambda _: Commit(audit=b"two", remember=("token", b"reply")))
    store.audit(b"three")
    assert [row.record for row in store.audit_records()] == [b"one", b"two", b"three"]
    assert [row.record for row in store.audit_records(limit=1, newest=True)] == [b"three"]
    assert (store.remembered("token"), store.remembered("other")) == (b"reply", None)
    store.close()


def test_subscribers_hear_changes_in_order(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    heard: list[int] = []
    store.subscribe(lambda before, after, _change: heard.append(after.generation - before.generation))
    row = Api(defaults=True).world.all(VPC)[0]
    store.write(lambda _: Commit(change=put(VPC, row)))
    store.write(lambda _: Commit(audit=b"nothing changed"))
    assert heard == [1]
    store.close()


def test_one_process_per_directory(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    with pytest.raises(StoreError, match="in use"):
        SqliteStore(tmp_path / "r.db")
    store.close()
    SqliteStore(tmp_path / "r.db").close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    store._db.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    store.close()
    with pytest.raises(StoreError, match="newer"):
        SqliteStore(tmp_path / "r.db")


WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from ringfence.model.kinds import REGION, VPC
from ringfence.model.nouns.network import RegionState
from ringfence.model.world import put
from ringfence.store.sqlite import SqliteStore
from ringfence.store.store import Commit
from tests.api.ops.harness import Api
row = Api(defaults=True).world.all(VPC)[0]
store = SqliteStore(Path(sys.argv[1]))
number = len(store.world.all(VPC))
while True:
    new = replace(row, id=f"vpc-{number:017x}")
    store.write(lambda _: Commit(change=put(VPC, new), audit=new.id.encode(), remember=(new.id, b"x")))
    print(new.id, flush=True)
    number += 1
"""


def test_res_08_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Killed at 20 random moments, every acknowledged write is there, with its audit record and remembered reply."""
    path, chance = tmp_path / "r.db", random.Random(8)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    acknowledged: list[str] = []
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as writer:
            assert writer.stdout is not None
            acknowledged.append(writer.stdout.readline().strip())
            time.sleep(chance.random() * 0.03)
            writer.send_signal(signal.SIGKILL)
            acknowledged += writer.stdout.read().split("\n")[:-1]
    store = SqliteStore(path)
    there = {vpc.id for vpc in store.world.all(VPC)}
    audited = {row.record.decode() for row in store.audit_records(limit=1_000_000)}
    lost = [id for id in acknowledged if id not in there or id not in audited or store.remembered(id) is None]
    assert len(acknowledged) > 40
    assert lost == []
    store.close()
