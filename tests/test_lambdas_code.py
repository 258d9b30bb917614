"""A package is unpacked once, read-only, and never outside of its place."""

import stat
import zipfile

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas import code
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
