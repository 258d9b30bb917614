"""The module that puts a host's files in place: what it makes, what it mends, what it refuses."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "infra/ansible/plugins/modules/place_files.py"
PYTHON = ROOT / ".venv-ansible/bin/python"
pytestmark = pytest.mark.infra


def place(tmp_path, *entries, mode="0600", check=False, **more):
    """Run it as Ansible does on a host; what it answers."""
    me = {"owner": str(os.getuid()), "group": str(os.getgid()), "mode": mode, **more}
    given = {**me, "entries": list(entries), "_ansible_diff": True, "_ansible_check_mode": check}
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}), encoding="utf-8")
    done = subprocess.run([PYTHON, MODULE, file], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def permissions(path):
    return f"{path.stat().st_mode & 0o7777:04o}"


@pytest.fixture
def entries(tmp_path):
    return [
        {"path": str(tmp_path / "etc"), "mode": "0750"},
        {"path": str(tmp_path / "etc" / "secret"), "content": "password=ä\n"},
        {"path": str(tmp_path / "etc" / "list"), "content": "[1, 2]\n", "mode": "0644"},
    ]


def test_it_makes_directories_and_files_and_then_changes_nothing(tmp_path, entries):
    made = place(tmp_path, *entries)
    assert made["changed_paths"] == [each["path"] for each in entries]
    etc = tmp_path / "etc"
    assert (etc / "secret").read_text(encoding="utf-8") == "password=ä\n"
    assert (etc / "list").read_text(encoding="utf-8") == "[1, 2]\n"
    assert [permissions(path) for path in (etc, etc / "secret", etc / "list")] == ["0750", "0600", "0644"]
    before = {path: path.stat().st_ino for path in etc.iterdir()}
    again = place(tmp_path, *entries)
    assert (again["changed"], again["changed_paths"], again["diff"]) == (False, [], [])
    assert {path: path.stat().st_ino for path in etc.iterdir()} == before


def test_it_changes_what_differs_alone_and_says_how(tmp_path, entries):
    place(tmp_path, *entries)
    secret, listed = tmp_path / "etc" / "secret", tmp_path / "etc" / "list"
    secret.write_bytes(b"\xff\xfe\n")  # no UTF-8
    found = place(tmp_path, *entries)
    assert found["changed_paths"] == [str(secret)]
    (difference,) = found["diff"]
    assert (difference["before"], difference["after"]) == ("\ufffd\ufffd\n", "password=ä\n")
    listed.chmod(0o666)
    (tmp_path / "etc").chmod(0o777)
    found = place(tmp_path, *entries)
    assert (found["changed_paths"], found["diff"]) == ([str(tmp_path / "etc"), str(listed)], [])
    assert (permissions(tmp_path / "etc"), permissions(listed)) == ("0750", "0644")


def test_in_check_mode_it_only_says_what_it_would_do(tmp_path, entries):
    found = place(tmp_path, *entries, check=True)
    assert found["changed_paths"] == [each["path"] for each in entries]
    assert not (tmp_path / "etc").exists()
    place(tmp_path, *entries)
    (tmp_path / "etc" / "list").chmod(0o600)
    assert place(tmp_path, *entries, check=True)["changed_paths"] == [str(tmp_path / "etc" / "list")]
    assert permissions(tmp_path / "etc" / "list") == "0600"


@pytest.mark.parametrize("strange", ["link", "directory", "file"])
def test_what_is_something_else_is_left_alone(tmp_path, strange):
    path = tmp_path / "x"
    entry = {"path": str(path), "content": "new\n"}
    match strange:
        case "link":
            (tmp_path / "elsewhere").write_text("mine\n", encoding="utf-8")
            path.symlink_to(tmp_path / "elsewhere")
        case "directory":
            path.mkdir()
        case "file":
            path.write_text("mine\n", encoding="utf-8")
            del entry["content"]
    found = place(tmp_path, entry)
    assert found["failed"]
    assert f"{path} could not be put in place: there is a {strange}" in found["msg"]
    assert strange == "directory" or path.read_text(encoding="utf-8") == "mine\n"


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "x"
    path.write_text("old\n", encoding="utf-8")
    found = place(tmp_path, {"path": str(path), "content": "new\n"}, owner="nobody-of-that-name")
    assert found["failed"]
    assert path.read_text(encoding="utf-8") == "old\n"
    found = place(tmp_path, {"path": str(tmp_path / "none" / "x"), "content": "new\n"})
    assert "none/x could not be put in place" in found["msg"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["arguments.json", "x"]


def test_permissions_are_never_left_to_chance(tmp_path):
    found = place(tmp_path, {"path": str(tmp_path / "x"), "content": ""}, mode=None)
    assert "no mode is given, neither for it nor for all" in found["msg"]
    assert not (tmp_path / "x").exists()


def test_parents_of_a_directory_are_made_like_it_and_a_link_to_one_is_as_good(tmp_path):
    deep, disk, data = tmp_path / "a" / "b", tmp_path / "disk", tmp_path / "data"
    disk.mkdir(mode=0o777)
    data.symlink_to(disk)
    entries = [{"path": str(deep)}, {"path": str(data)}, {"path": str(data / "x"), "content": "1\n", "mode": "0600"}]
    made = place(tmp_path, *entries, mode="0750")
    assert made["changed_paths"] == [each["path"] for each in entries]
    assert [permissions(path) for path in (tmp_path / "a", deep, disk)] == ["0750"] * 3
    assert data.is_symlink()
    assert (disk / "x").read_text(encoding="utf-8") == "1\n"
    assert not place(tmp_path, *entries, mode="0750")["changed"]
