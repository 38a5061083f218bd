"""`ringfence import`, `snapshot`, `--from` and `up --import`: exit status, what people read, what is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringfence.cli.main import main
from tests.cli.serving import Host
from tests.insight.imports.recording import ENI, GROUP, INSTANCE, NEIGHBOUR, VPC, Documents, site

Out = pytest.CaptureFixture[str]


def written(folder: Path, documents: Documents) -> Path:
    folder.mkdir()
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return written(tmp_path / "recording", site())


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    documents = site()
    documents["tables"]["RouteTables"][0]["Routes"][1] = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
    documents["vpcs"]["Vpcs"][0]["Colour"] = "blue"
    return written(tmp_path / "partial", documents)


def test_import_says_what_was_understood(recording: Path, partial: Path, capsys: Out) -> None:
    assert main(["import", str(recording), "--strict"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "everything was understood"
    assert main(["import", str(partial)]) == 0
    out = capsys.readouterr().out
    assert "Vpcs.Colour (1)" in out
    assert "nat-1: a target of routes" in out
    assert main(["import", str(partial), "--strict"]) == 1


def test_import_as_json_and_as_a_snapshot(partial: Path, tmp_path: Path, capsys: Out) -> None:
    file = tmp_path / "snapshot.json"
    assert main(["import", str(partial), "--json", "-o", str(file)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["unknown_fields"], report["whole"]) == ({"Vpcs.Colour": 1}, False)
    assert main(["import", "snapshot", str(file)]) == 0
    assert main(["import", "aws-describe", str(partial)]) == 0
    capsys.readouterr()
    assert main(["snapshot", "--from", str(file)]) == 0
    assert capsys.readouterr().out == file.read_text()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["import", "{tmp}/nothing"], "there is no"),
        (["import", "{tmp}/bad.json"], "no JSON"),
        (["import", "{tmp}/other.json"], "no form"),
        (["import", "terraform-plan", "{tmp}/recording"], "not terraform-plan, but recorded output"),
        (["import", "snapshot", "{tmp}/recording"], "not snapshot, but recorded output"),
        (["import", "{tmp}/recording", "--account-id", "12"], "12 digits"),
        (["import", "{tmp}/recording", "--region", "moon"], "unknown Region"),
        (["import", "{tmp}/recording", "-o", "{tmp}/no/where"], "cannot write"),
        (["reach", "--from", "{tmp}/nothing"], "there is no"),
        (["exposure", "--from", "{tmp}/recording", "--within", "x"], "does not appear"),
        (["trace", "i-1", "i-2", "--from", "{tmp}/recording"], "there is no instance"),
        (["paths", "i-1", "i-2", "--from", "{tmp}/recording"], "NO_SOURCE_OR_DESTINATION"),
    ],
)
def test_bad_usage_is_status_2(arguments: list[str], why: str, recording: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.json").write_text("{}")
    assert main([a.format(tmp=tmp_path) for a in arguments]) == 2
    assert why in capsys.readouterr().err


def test_questions_about_files(recording: Path, partial: Path, capsys: Out) -> None:
    assert main(["trace", INSTANCE, NEIGHBOUR, "--port", "80", "--from", str(recording)]) == 0
    assert main(["trace", INSTANCE, NEIGHBOUR, "--port", "81", "--from", str(recording)]) == 1
    assert main(["trace", INSTANCE, "8.8.8.8", "--port", "80", "--from", str(partial)]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "unknown: nat-1: routes by way of it are not modelled"
    assert main(["paths", INSTANCE, NEIGHBOUR, "--from", str(recording)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("tcp 80")
    assert main(["reach", "--from", str(recording)]) == 0
    assert capsys.readouterr().out == f"{GROUP} -> {GROUP}  IPv4  tcp 80\n"
    assert main(["exposure", "--from", str(recording)]) == 0
    assert capsys.readouterr().out == f"{ENI} 54.1.2.3 <- 0.0.0.0/0  tcp 80\n"


def test_an_imported_network_is_served(recording: Path, host: Host) -> None:
    """With its ids, in its account, beside no default VPC; its snapshot is the network that was imported."""
    host.up("--ephemeral", "--import", str(recording))
    status = host.json("status")
    assert [vpc["vpc_id"] for vpc in status["vpcs"]] == [VPC]
    assert status["vpcs"][0]["owner_id"] == "111122223333"
    assert host.json("trace", INSTANCE, NEIGHBOUR, "--port", "80")["outcome"] == "ok"
    there = host.run("snapshot").stdout
    here = host.run("snapshot", "--from", str(recording)).stdout
    assert json.loads(there) == json.loads(here)
    done = host.run("diff", "running", str(recording), "--fail-on", "any")
    assert (done.returncode, done.stdout) == (0, "no difference\n"), done.stderr
    assert host.run("map").stdout == host.run("map", "--from", str(recording)).stdout
    assert host.run("hygiene").stdout == host.run("hygiene", "--from", str(recording)).stdout


def test_what_is_not_wholly_known_is_not_served(tmp_path: Path, host: Host) -> None:
    documents = site()
    del documents["acls"]
    with pytest.raises(RuntimeError, match="cannot be enforced"):
        host.up("--ephemeral", "--import", str(written(tmp_path / "gaps", documents)))
    with pytest.raises(RuntimeError, match="there is no"):
        host.up("--ephemeral", "--import", str(tmp_path / "nothing"))


def test_import_starts_new_installations_only(recording: Path, tmp_path: Path, host: Host) -> None:
    """Recordings and their snapshot alike."""
    file = tmp_path / "snapshot.json"
    assert main(["import", str(recording), "-o", str(file)]) == 0
    server = host.up("--data", str(tmp_path / "data"), "--import", str(file))
    assert host.run("snapshot").stdout == file.read_text()
    server.stop(2)
    with pytest.raises(RuntimeError, match="new installation"):
        host.up("--data", str(tmp_path / "data"), "--import", str(recording))
