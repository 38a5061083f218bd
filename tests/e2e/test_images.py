"""Guests from images of the operator's own: an OCI layout, and a directory that must never become writable."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab
from tests.layouts import layout, python_layer

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
NOBODY = 65534


@pytest.fixture(scope="module")
def images() -> Iterator[Path]:
    """Where the data plane, which runs as nobody under root, can read it."""
    path = Path(tempfile.mkdtemp(prefix="rf-images-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def site(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server with images, a subnet, and a guest booted from an OCI layout."""
    layout(images / "python", python_layer())
    lab = Lab(tmp_path_factory.mktemp("ringfence"), "--images", str(images))
    try:
        vpc, _ = lab.vpc("10.9.0.0/16")
        lab.names |= {"subnet": lab.subnet(vpc, "10.9.0.0/24"), "group": lab.group(vpc, "g")}
        lab.names["image"] = register(lab, images / "python")
        start(lab, "oci", lab.names["image"])
        yield lab
    finally:
        lab.close()


def register(lab: Lab, path: Path) -> str:
    image = lab.ec2.register_image(Name=path.name, ImageLocation=f"file:{path}")["ImageId"]
    lab.ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return str(image)


def start(lab: Lab, name: str, image: str, user_data: str = "") -> None:
    lab.names[name] = lab.ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, SubnetId=lab.names["subnet"], SecurityGroupIds=[lab.names["group"]],
        UserData=user_data,
    )["Instances"][0]["InstanceId"]  # fmt: skip
    lab.running(name)
    lab.wait()


def python(lab: Lab, name: str, script: str) -> str:
    done = lab.run("exec", lab.names[name], "--", "python3", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_oci_layout_boots(site: Lab) -> None:
    """Its files, not the host's; the guest's own names and resolver over them."""
    script = (
        "import os, socket\nprint(os.path.exists('/usr/bin/ls'), os.path.exists('/usr/bin/python3'), socket.gethostname())\n"
        "print(open('/etc/resolv.conf').read())"
    )
    said = python(site, "oci", script)
    assert said.startswith("False True ip-10-9-0-")
    assert "nameserver 10.9.0.2" in said
    assert site.ec2.describe_images(ImageIds=[site.names["image"]])["Images"][0]["ImageLocation"].endswith("/python")


def test_a_damaged_layout_fails_and_says_why(site: Lab, images: Path) -> None:
    layout(images / "damaged", b"no tar at all")
    image = site.ec2.register_image(Name="damaged", ImageLocation=f"file:{images}/damaged")["ImageId"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        [found] = site.ec2.describe_images(ImageIds=[image])["Images"]
        if found["State"] != "pending":
            break
        time.sleep(0.1)
    assert (found["State"], found["StateReason"]["Code"]) == ("failed", "Client.InvalidImage")
    with pytest.raises(site.ec2.exceptions.ClientError, match=r"InvalidAMIID\.Unavailable"):
        site.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=site.names["subnet"])


ATTACK = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, NEWNS, NEWUSER = 1, 32, 4096, 0x20000, 0x10000000
tried, done = 0, []
def attempt(name, action):
    global tried
    tried += 1
    try:
        action()
        done.append(name)
    except (OSError, ValueError): pass
def call(number):
    if number != 0: raise OSError(ctypes.get_errno(), "")
def write(path):
    with open(path, "r+b") as f: f.write(b"owned")
def attack(root):
    t = root + "/usr/victim"
    attempt(root + " write", lambda: write(t))
    attempt(root + " create", lambda: open(root + "/usr/new", "w"))
    attempt(root + " unlink", lambda: os.unlink(t))
    attempt(root + " rename", lambda: os.rename(t, root + "/usr/other"))
    attempt(root + " chmod", lambda: os.chmod(t, 0o777))
    attempt(root + " link", lambda: os.link(t, root + "/usr/linked"))
    attempt(root + " truncate", lambda: os.truncate(t, 0))
    attempt(root + " times", lambda: os.utime(t, (1, 1)))
attack("")
for pid in ("1", "2", "self"):
    attack(f"/proc/{pid}/root")
    attack(f"/proc/{pid}/cwd/..")
fd = os.open("/usr/victim", os.O_RDONLY)
attempt("reopen", lambda: write(f"/proc/self/fd/{fd}"))
path_fd = os.open("/usr", os.O_PATH)
attempt("openat", lambda: os.open("victim", os.O_RDWR, dir_fd=path_fd))
attempt("climb", lambda: os.open("../usr/victim", os.O_RDWR, dir_fd=path_fd))
attempt("exe", lambda: write("/proc/1/exe"))
attempt("map", lambda: [write(f"/proc/1/map_files/{name}") for name in os.listdir("/proc/1/map_files")])
attempt("fds", lambda: [write(f"/proc/{p}/fd/{n}") for p in (1, 2) for n in os.listdir(f"/proc/{p}/fd") if int(n) > 2] or call(-1))
for target in (b"/usr", b"/", b"/etc/passwd"):
    attempt("remount", lambda: call(libc.mount(None, target, None, MS_REMOUNT | MS_BIND, None)))
    attempt("bind", lambda: call(libc.mount(target, b"/tmp", None, MS_BIND, None)))
    attempt("umount", lambda: call(libc.umount2(target, 2)))
    attempt("setattr", lambda: call(libc.syscall(442, -100, target, 0, (ctypes.c_uint64 * 4)(0, 1, 0, 0), 32)))
    attempt("open_tree", lambda: call(min(0, libc.syscall(428, -100, target, 1))))
attempt("unshare", lambda: call(libc.unshare(NEWNS)))
attempt("userns", lambda: call(libc.unshare(NEWUSER | NEWNS)))
attempt("setns", lambda: call(libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)))
attempt("chroot", lambda: os.chroot("/proc/1/root"))
attempt("handle", lambda: call(min(0, libc.open_by_handle_at(path_fd, ctypes.create_string_buffer(64), os.O_RDWR))))
"""


def fingerprint(root: Path) -> dict[str, tuple[int, int, int, str]]:
    out = {}
    for path in (root, *root.rglob("*")):
        about = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        out[str(path)] = (about.st_mode, about.st_mtime_ns, about.st_nlink, content)
    return out


def test_a_directory_image_of_the_very_user_stays_as_it_is(site: Lab, images: Path) -> None:
    """The guest's root is the host's user who owns the files: by exec, by user data, by /proc, none gets to write."""
    root = next((images / ".unpacked").glob("sha256-*"))
    mine = images / "mine"
    shutil.copytree(root, mine, symlinks=True)
    (mine / "usr" / "victim").write_text("whole")
    if os.geteuid() == 0:
        for path in (mine, *mine.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    before = fingerprint(mine)
    by_itself = "#!/usr/bin/python3\n" + ATTACK + "\nopen('/tmp/out', 'w').write(f'{tried} {done}')\n"
    start(site, "mine", register(site, mine), by_itself)
    tried, done = python(site, "mine", ATTACK + "\nprint(tried, done)").split(maxsplit=1)
    assert int(tried) > 70
    assert done.strip() == "[]"
    deadline, said = time.monotonic() + 15, ""
    while not said and time.monotonic() < deadline:
        said = site.run("exec", site.names["mine"], "--", "python3", "-c", "print(open('/tmp/out').read())").stdout
        time.sleep(0.2)
    assert said.split(maxsplit=1) == [tried, "[]\n"]
    assert fingerprint(mine) == before


def test_the_attack_works_where_it_may(tmp_path: Path) -> None:
    """On a directory that is writable: the list above can fail."""
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "victim").write_text("whole")
    scope: dict[str, list[str]] = {}
    exec(ATTACK.partition('attack("")')[0] + f"attack({str(tmp_path)!r})", scope)
    assert len(scope["done"]) >= 2
