"""Only the very jars that were locked are ever used; a damaged one, or a damaged lock, is named with the remedy."""

from __future__ import annotations

import hashlib

import pytest

from shopstream.cluster import jars, maven
from shopstream.errors import ClusterError

NAMES = ("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-api:1.7.36")


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def lock():
    return jars.Lock(tuple(sorted(maven.Jar(name, digest(name.encode())) for name in NAMES)))


@pytest.fixture
def download(monkeypatch):
    """A download that works, without a network: each jar holds its own name."""
    downloads = []

    def fake(_repository, directory, locked):
        downloads.append(directory)
        for jar in locked:
            (directory / jar.filename).write_bytes(jar.coordinate.encode())

    monkeypatch.setattr(maven, "download", fake)
    return downloads


def test_the_committed_lock_is_sound_and_names_what_is_asked_for():
    lock = jars.Lock.read()
    coordinates = {jar.coordinate for jar in lock.jars}
    assert set(jars.ROOTS) <= coordinates
    assert len({jar.filename for jar in lock.jars}) == len(lock.jars)
    assert lock.kafka_version.startswith("4.")
    assert jars.LOCK.read_text() == lock.to_text()
    assert "//" not in jars.LOCK.read_text(), "the lock holds no addresses"


def test_an_installation_is_made_once_and_then_used(tmp_path, lock, download):
    told = []
    first = jars.install(tmp_path, lock, told.append)
    assert [path.read_bytes().decode() for path in first] == [jar.coordinate for jar in lock.jars]
    assert jars.install(tmp_path, lock, told.append) == first
    assert len(download) == len(told) == 1


def test_another_lock_is_another_installation(tmp_path, lock, download):
    other = jars.Lock(lock.jars[:1])
    assert jars.install(tmp_path, lock)[0].parent != jars.install(tmp_path, other)[0].parent


def test_a_jar_that_was_damaged_later_is_found(tmp_path, lock, download):
    victim = jars.install(tmp_path, lock)[1]
    victim.write_bytes(b"other bytes")
    with pytest.raises(ClusterError) as caught:
        jars.install(tmp_path, lock)
    text = str(caught.value)
    assert all(part in text for part in (victim.name, lock.jars[1].sha256, digest(b"other bytes"), "delete"))


def test_a_jar_that_is_missing_is_found(tmp_path, lock, download):
    jars.install(tmp_path, lock)[0].unlink()
    with pytest.raises(ClusterError, match="no file"):
        jars.install(tmp_path, lock)


def test_a_download_that_differs_from_the_lock_installs_nothing(tmp_path, lock, download):
    wrong = jars.Lock((*lock.jars, maven.Jar("a:b:1", digest(b"what was locked"))))
    with pytest.raises(ClusterError, match="nothing was installed"):
        jars.install(tmp_path, wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ClusterError, OSError])
def test_an_interrupted_download_leaves_nothing(tmp_path, lock, monkeypatch, interruption):
    def interrupted(_repository, directory, _jars):
        (directory / "half.jar").write_bytes(b"half")
        raise interruption

    monkeypatch.setattr(maven, "download", interrupted)
    with pytest.raises(interruption):
        jars.install(tmp_path, lock)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path, lock, download):
    (tmp_path / ".install-dead").mkdir()
    jars.install(tmp_path, lock)
    assert not (tmp_path / ".install-dead").exists()


@pytest.mark.parametrize(
    "text", ["", "nonsense\n", "# only a comment\n", "abc  a:b:1\n", f"{'0' * 64}  a:b\n", f"{'0' * 64}  a:b:1\n"]
)
def test_a_damaged_lock_is_refused_with_its_remedy(tmp_path, text):
    path = tmp_path / "kafka.lock"
    path.write_text(text)
    with pytest.raises(ClusterError, match=r"kafka\.lock.*--relock"):
        jars.Lock.read(path)
    with pytest.raises(ClusterError, match="cannot be read"):
        jars.Lock.read(tmp_path / "missing")
