"""A package is unpacked once, read-only, and never outside of its place."""

import ctypes
import os
import stat
import tempfile
import time
import zipfile
from pathlib import Path

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas import code, leftovers
from shopstream.lambdas.code import task_root


def packed(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return path


def entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_a_zip_is_unpacked_once_for_each_content(tmp_path):
    one = packed(tmp_path / "a.zip", {"app.py": "x = 1", "lib/b.txt": "b"})
    root = task_root(one, tmp_path / "cache")
    assert (root / "app.py").read_text() == "x = 1"
    assert (root / "lib" / "b.txt").read_text() == "b"
    assert task_root(one, tmp_path / "cache") == root
    packed(one, {"app.py": "x = 2"})
    assert task_root(one, tmp_path / "cache") != root
    assert sorted(p.name for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")) == []


def test_files_are_read_only_and_stay_executable(tmp_path):
    path = packed(tmp_path / "a.zip", {entry("run", 0o100755): "#!", entry("app.py", 0o100644): ""})
    root = task_root(path, tmp_path / "cache")
    modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("run", "app.py")}
    assert modes == {"run": 0o555, "app.py": 0o444}


def test_directories_are_read_only_and_the_next_version_has_a_place_of_its_own(tmp_path):
    path = packed(tmp_path / "a.zip", {"app.py": "", "lib/deep/b.txt": "", "lib/empty/": ""})
    root = task_root(path, tmp_path / "cache")
    directories = [root, *(each for each in root.rglob("*") if each.is_dir())]
    assert len(directories) == 4
    assert {stat.S_IMODE(each.stat().st_mode) for each in directories} == {0o555}
    packed(path, {"app.py": "x = 2"})
    assert (task_root(path, tmp_path / "cache") / "app.py").read_text() == "x = 2"


@pytest.fixture
def as_user():
    """A directory of a user who is not root, as whom files are used until the test ends."""
    nobody, libc = 65534, ctypes.CDLL(None)
    with tempfile.TemporaryDirectory() as directory:
        if os.getuid():
            yield Path(directory)
            return
        os.chown(directory, nobody, nobody)
        libc.setfsuid(nobody)  # of this thread, and its rights with it
        try:
            yield Path(directory)
        finally:
            libc.setfsuid(0)


def test_a_function_cannot_write_beside_its_code_and_what_it_has_can_be_removed(as_user):
    path = packed(as_user / "a.zip", {"app.py": "", "lib/b.txt": ""})
    root = task_root(path, as_user / "cache")
    for place in (root, root / "lib"):
        with pytest.raises(PermissionError):
            (place / "new").touch()
    with pytest.raises(PermissionError):
        (root / "app.py").write_text("x = 2")
    leftovers.remove(root)
    assert list((as_user / "cache").iterdir()) == []


def test_who_unpacks_what_another_has_just_unpacked_leaves_nothing(as_user, monkeypatch):
    path = packed(as_user / "a.zip", {"lib/b.txt": ""})
    unpack = code._unpack

    def slowly(zipped, temporary):
        unpack(zipped, temporary)
        monkeypatch.setattr(code, "_unpack", unpack)
        task_root(path, as_user / "cache")

    monkeypatch.setattr(code, "_unpack", slowly)
    root = task_root(path, as_user / "cache")
    assert list((as_user / "cache").iterdir()) == [root]


def test_what_killed_processes_were_unpacking_is_swept(as_user):
    cache = as_user / "cache"
    root = task_root(packed(as_user / "a.zip", {"lib/b.txt": ""}), cache)
    at_work, young = cache / f".unpacking-{os.getpid()}-a", cache / ".unpacking-new"
    dead, old = cache / ".unpacking-999999999-a", cache / ".unpacking-old"  # no process has such an id
    for each in (at_work, young, dead, old):
        (each / "lib").mkdir(parents=True)
        (each / "lib").chmod(0o555)
    os.utime(old, (time.time() - 100_000,) * 2)
    code.sweep(cache)
    assert set(cache.iterdir()) == {root, at_work, young}
    code.sweep(as_user / "nowhere")


def test_of_entries_with_the_same_name_the_last_one_counts(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("app.py", "x = 1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("app.py", "x = 2")
    assert (task_root(tmp_path / "a.zip", tmp_path / "cache") / "app.py").read_text() == "x = 2"


def test_a_directory_is_used_as_it_is(tmp_path):
    assert task_root(tmp_path, tmp_path / "cache") == tmp_path
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py", "..\\evil.py"])
def test_an_entry_outside_of_the_package_is_refused(tmp_path, name):
    path = packed(tmp_path / "a.zip", {name: "", "app.py": ""})
    with pytest.raises(UsageError, match="outside"):
        task_root(path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_symbolic_link_is_refused(tmp_path):
    path = packed(tmp_path / "a.zip", {entry("link", stat.S_IFLNK | 0o777): "/etc/passwd"})
    with pytest.raises(UsageError, match="symbolic link"):
        task_root(path, tmp_path / "cache")


def test_what_is_too_large_for_lambda_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "LARGEST_UNPACKED", 10)
    with pytest.raises(UsageError, match="when unpacked"):
        task_root(packed(tmp_path / "a.zip", {"a": "x" * 11}), tmp_path / "cache")


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(UsageError, match="no zip"):
        task_root(tmp_path / "a.zip", tmp_path / "cache")
    with pytest.raises(UsageError, match="cannot be read"):
        task_root(tmp_path / "b.zip", tmp_path / "cache")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/", "a")])
def test_an_entry_that_is_a_file_and_a_directory_is_refused(tmp_path, names):
    path = packed(tmp_path / "a.zip", dict.fromkeys(names, ""))
    with pytest.raises(UsageError, match=r"entry 'a(/b)?' is a file and a directory at once: build it again"):
        task_root(path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_entry_that_cannot_be_written_is_named(tmp_path):
    path = packed(tmp_path / "a.zip", {"n" * 300: ""})
    with pytest.raises(UsageError, match=r"nnn' cannot be unpacked into .*cache \(File name too long\)"):
        task_root(path, tmp_path / "cache")


def changed(path, place, value):
    """The zip with another number in its only entry: `place` is that of the local header, and of the central one."""
    content = bytearray(path.read_bytes())
    for start, at in ((content.index(b"PK\x03\x04"), place[0]), (content.index(b"PK\x01\x02"), place[1])):
        content[start + at] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ((6, 8), 1, "entry 'app.py' is encrypted: build it without a password"),
        ((8, 10), 99, "cannot be unpacked .*compression.*: build it with deflate"),
        ((8, 10), 8, "is no zip that can be read .*: build it again"),  # it says deflate, and is not
        ((8, 10), 12, "Invalid data stream|is no zip that can be read"),
        ((8, 10), 14, "is no zip that can be read"),
    ],
)
def test_what_cannot_be_decoded_is_refused(tmp_path, place, value, told):
    path = changed(packed(tmp_path / "a.zip", {"app.py": "x = 1 # long enough"}), place, value)
    with pytest.raises(UsageError, match=told) as caught:
        task_root(path, tmp_path / "cache")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
