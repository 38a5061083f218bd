"""The commands that ask a running installation: env, status, wait, audit; doctor; shell completion."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ringfence import notes
from ringfence.cli import doctor
from ringfence.cli.main import main, parser
from tests.cli.serving import COMMAND, Host, client_of


def test_env_is_for_the_shell(host: Host) -> None:
    server = host.up("--ephemeral", "--region", "eu-west-1")
    script = (
        'eval "$("$@")"; echo "$AWS_ENDPOINT_URL $AWS_DEFAULT_REGION ${AWS_PROFILE-unset} ${AWS_SESSION_TOKEN-unset}"'
    )
    done = subprocess.run(
        ["sh", "-c", script, "sh", *COMMAND, "env"], capture_output=True, text=True, check=True,
        env={**host.env, "AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "old"},
    )  # fmt: skip
    assert done.stdout.split() == [server.endpoint, "eu-west-1", "unset", "unset"]


def test_the_newest_server_is_asked_or_the_one_that_is_named(host: Host) -> None:
    first, second = host.up("--ephemeral"), host.up("--ephemeral")
    assert host.json("status")["endpoint"] == second.endpoint
    assert host.json("status", "--endpoint", first.endpoint + "/")["endpoint"] == first.endpoint
    wrong = host.run("status", "--endpoint", "http://127.0.0.1:1")
    assert wrong.returncode == 1
    assert f"running: {second.endpoint}, {first.endpoint}" in wrong.stderr
    second.stop()
    assert host.json("status")["endpoint"] == first.endpoint


@pytest.mark.parametrize(
    "command", ["env", "status", "wait", "audit", "trace i-1 i-2", "probe i-1 i-2", "exec i-1 -- true"]
)
def test_without_a_server_it_says_how_to_start_one(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RINGFENCE_HOME", str(tmp_path))
    assert main(command.split()) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"ringfence {command.split()[0]}: no ringfence is running; start one with: ringfence up --ephemeral\n"


def test_status_counts_by_vpc(host: Host) -> None:
    server = host.up("--ephemeral")
    ec2 = client_of(host, "ec2", server.endpoint)
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.5.0.0/24")["Subnet"]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet)
    status = host.json("status")
    assert {"endpoint", "generation", "applied_generation", "dataplane", "vpcs"} <= status.keys()
    assert (status["dataplane"], status["applied_generation"]) == ("none", status["generation"])
    found = next(row for row in status["vpcs"] if row["vpc_id"] == vpc)
    assert (found["cidr"], found["subnets"], found["interfaces"], found["instances"]) == ("10.5.0.0/16", 1, 1, 0)
    text = host.run("status").stdout
    assert f"generation {status['generation']} of {status['generation']} applied" in text
    assert vpc in text


def test_audit_shows_calls_and_refusals(host: Host) -> None:
    server = host.up("--ephemeral")
    ec2 = client_of(host, "ec2", server.endpoint)
    ec2.describe_vpcs()
    with pytest.raises(Exception, match="InvalidVpcID"):
        ec2.create_subnet(VpcId="vpc-0123456789abcdef0", CidrBlock="10.0.0.0/24")
    records = host.json("audit", "--last", "2")
    assert [record["eventName"] for record in records] == ["DescribeVpcs", "CreateSubnet"]
    assert records[1]["errorCode"].endswith("InvalidVpcID.NotFound")
    lines = host.run("audit").stdout.splitlines()
    assert [line.split()[1] for line in lines[-2:]] == ["ec2:DescribeVpcs", "ec2:CreateSubnet"]
    assert lines[-2].endswith("ok")
    assert len(host.run("audit", "--last", "1").stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("trace i-0123456789abcdef0 10.0.0.1", "there is no instance"),
        ("trace 10.0.0.1 10.0.0.2", "a source is"),
        ("trace internet:203.0.113.9 nowhere", "is neither"),
        ("trace internet:203.0.113.9 10.0.0.1 --protocol fax", "unknown protocol"),
    ],
)
def test_targets_that_make_no_sense_exit_2(host: Host, command: str, says: str) -> None:
    host.up("--ephemeral")
    done = host.run(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_probe_and_exec_need_a_data_plane(host: Host) -> None:
    server = host.up("--ephemeral")
    ec2 = client_of(host, "ec2", server.endpoint)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    id = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    for command in (("probe", id, "internet:203.0.113.9"), ("exec", id, "--", "true")):
        done = host.run(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert "there is no data plane" in done.stderr


def test_a_note_left_behind_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one whose process is gone, nor one whose process id belongs to somebody else by now, nor rubbish."""
    about = {"endpoint": "http://127.0.0.1:7", "region": "us-east-1", "account_id": "1", "access_key": "a", "secret_key": "s",
             "started": 1.0, "run": str(tmp_path)}  # fmt: skip
    gone = subprocess.Popen(["true"])
    gone.wait()
    notes.write(tmp_path, notes.Note(pid=gone.pid, **about))  # type: ignore[arg-type]
    assert notes.running(tmp_path) == []
    notes.write(tmp_path, notes.Note(pid=os.getpid(), **about))  # type: ignore[arg-type]
    assert notes.running(tmp_path) == []
    (tmp_path / "api.sock").touch()
    assert [note.endpoint for note in notes.running(tmp_path)] == ["http://127.0.0.1:7"]
    (tmp_path / "instances" / "8.json").write_text("{")
    (tmp_path / "instances" / "9.json").write_text('{"pid": 1}')
    assert len(notes.running(tmp_path)) == 1


def test_a_note_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    about = {"endpoint": "http://127.0.0.1:7", "region": "us-east-1", "account_id": "1", "access_key": "a", "secret_key": "s",
             "run": str(tmp_path), "pid": 1}  # fmt: skip
    mine, other = notes.Note(started=1.0, **about), notes.Note(started=2.0, **about)  # type: ignore[arg-type]
    notes.write(tmp_path, mine)
    notes.write(tmp_path, other)
    notes.remove(tmp_path, mine)
    assert (tmp_path / "instances" / "7.json").exists()
    notes.remove(tmp_path, other)
    assert not (tmp_path / "instances" / "7.json").exists()


ALL_WELL = {"namespaces": "", "links": "", "rules": "", "guests": ""}


@pytest.mark.parametrize(
    ("trial", "missed"),
    [
        (ALL_WELL, set()),
        ({**ALL_WELL, "rules": "Operation not supported"}, {"nftables rules in the kernel"}),
        ({"namespaces": "unshare: Operation not permitted"}, {
            "user and network namespaces", "virtual links and policy routing", "nftables rules in the kernel",
            "guests in a sandbox",
        }),
    ],
)  # fmt: skip
def test_doctor_says_what_is_missing_and_what_helps(
    trial: dict[str, str], missed: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    programs = {check.name for check in doctor.CHECKS[:6] if check.problem({})}  # depends on this machine
    status = doctor.report(trial, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {row["check"] for row in rows if not row["ok"]} == missed | programs
    assert all(row["remedy"] and row["problem"] for row in rows if not row["ok"])
    assert status == (1 if missed | programs else 0)
    assert doctor.report(trial, as_json=False) == status
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("  ")[1].split(":")[0] for line in lines if line.startswith("MISS")} == missed | programs


@pytest.mark.netns
def test_doctor_finds_nothing_missing_where_the_data_plane_works(host: Host) -> None:
    done = host.run("doctor")
    assert (done.returncode, "MISS" in done.stdout) == (0, False), done.stdout


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    assert commands is not None
    assert set(commands) >= {"up", "env", "status", "wait", "doctor", "exec", "probe", "trace", "audit"}
    for name in commands:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert name in capsys.readouterr().out


def test_shell_completion(host: Host, tmp_path: Path) -> None:
    """argcomplete's protocol: the words so far in COMP_LINE, completions on descriptor 8 (here: a file)."""
    out = tmp_path / "completions"
    env = {
        **host.env,
        "_ARGCOMPLETE": "1",
        "COMP_LINE": "ringfence st",
        "COMP_POINT": "12",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
    }
    subprocess.run(COMMAND, env=env, check=False, capture_output=True, timeout=30)
    assert out.read_text().split() == ["status"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert "ringfence" in told
    if shell == "bash":
        done = subprocess.run(
            ["bash", "-c", f"{told}\ncomplete -p ringfence"], capture_output=True, text=True, check=False
        )
        assert "_python_argcomplete" in done.stdout
    with pytest.raises(SystemExit):
        main(["completion", "tcsh"])
