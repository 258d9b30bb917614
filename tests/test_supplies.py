"""The supplies of the rehearsal: mirrors read from apt, stable archives, and a server that keeps to its tree."""

from __future__ import annotations

import tarfile
import threading
import urllib.error
import urllib.request

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal.supplies import archive, artifacts, building, mirror, server

STANZAS = """\
Types: deb
# a comment
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main contrib
"""
LINES = "# deb http://no.invalid/ bookworm main\ndeb [arch=amd64] http://mirror.invalid/debian bookworm main non-free\n"


@pytest.fixture
def apt(tmp_path, monkeypatch):
    monkeypatch.delenv(mirror.VARIABLE, raising=False)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_the_mirror_is_read_from_stanzas(apt):
    (apt / "sources.list.d/debian.sources").write_text(STANZAS)
    found = mirror.sources(apt)
    assert [source.suite for source in found] == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert found[2].uri.endswith("-security")


def test_the_mirror_is_read_from_lines(apt):
    (apt / "sources.list").write_text(LINES)
    assert mirror.sources(apt) == (mirror.Source("http://mirror.invalid/debian", "bookworm"),)


@pytest.mark.parametrize(
    "text", ["", "deb http://x.invalid cloud-bookworm main\n", "deb http://x.invalid bookworm c\n"]
)
def test_without_a_mirror_the_error_says_how_to_name_one(apt, monkeypatch, text):
    (apt / "sources.list").write_text(text)
    with pytest.raises(RehearsalError, match=mirror.VARIABLE):
        mirror.sources(apt)
    monkeypatch.setenv(mirror.VARIABLE, "http://named.invalid")
    assert mirror.sources(apt)[0].uri == "http://named.invalid"


@pytest.mark.parametrize("bundle", artifacts.BUNDLES, ids=lambda bundle: bundle.name)
def test_the_committed_locks_are_sound_and_name_what_is_asked_for(bundle):
    assert set(bundle.roots) <= {jar.coordinate for jar in bundle.read()}
    assert "//" not in bundle.lock.read_text()


def test_an_archive_has_the_same_bytes_each_time_and_its_scripts_can_be_run(tmp_path):
    files = {f"kafka/{name}": content for name, content in archive.scripts().items()}
    archive.pack(tmp_path / "a.tgz", files)
    archive.pack(tmp_path / "b.tgz", dict(reversed(files.items())))
    assert archive.sha512_of(tmp_path / "a.tgz") == archive.sha512_of(tmp_path / "b.tgz")
    with tarfile.open(tmp_path / "a.tgz") as tar:
        modes = {entry.name: entry.mode for entry in tar}
    assert modes["kafka/bin/kafka-topics.sh"] == modes["kafka/bin/kafka-server-start.sh"] == 0o755
    assert modes["kafka/config/log4j.properties"] == 0o644


def test_a_supply_is_built_once_and_a_failed_one_leaves_nothing(tmp_path):
    def fail(root):
        (root / "half").touch()
        raise RehearsalError("no network")

    with pytest.raises(RehearsalError):
        building.built(tmp_path, "thing", "1", fail)
    assert list(tmp_path.iterdir()) == []
    first = building.built(tmp_path, "thing", "1", lambda root: (root / "whole").touch())
    assert building.built(tmp_path, "thing", "1", fail) == first


def test_a_failed_program_is_named_with_its_last_words_and_the_remedy():
    with pytest.raises(RehearsalError, match=r"(?s)purpose: sh ended with 3: remedy.*last words"):
        building.run(["sh", "-c", "echo last words >&2; exit 3"], "purpose", "remedy")


@pytest.fixture
def address(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"0123456789")
    (tmp_path / "secret").write_text("secret")
    with server.serve(tmp_path / "root", "127.0.0.1", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
        return answer.status, answer.read()


def test_files_are_served_whole_from_a_byte_on_and_listed(address):
    assert get(f"{address}/file") == (200, b"0123456789")
    assert get(f"{address}/file", Range="bytes=7-") == (206, b"789")
    assert get(f"{address}/./file", Range="bytes=99-") == (200, b"0123456789")
    assert b'href="file"' in get(f"{address}/")[1]


def test_a_slow_reader_gets_the_whole_of_a_big_file(address, tmp_path):
    (tmp_path / "root/big").write_bytes(bytes(32 << 20))
    with urllib.request.urlopen(f"{address}/big", timeout=5) as answer:
        threading.Event().wait(0.3)  # the socket's buffers fill up
        assert len(answer.read()) == 32 << 20


@pytest.mark.parametrize("path", ["/none", "/../secret", "/%2e%2e/secret", "/file/x"])
def test_nothing_else_is_served(address, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(address + path)
    assert caught.value.code == 404
    caught.value.close()
