"""Passwords and the authority's key: made once, used again, rotated on demand, and never anybody else's."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shopstream.aws import authority, leftovers, secrets
from shopstream.cluster.certificates import RENEWAL, VALIDITY
from shopstream.errors import AwsError, DeploymentError, UsageError
from tests.aws_account import NEIGHBOUR, NOW, OURS, account, aws, stand_in

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


def store(aws, deployment, passwords):
    """What Terraform does with them."""
    for login, password in words(passwords).items():
        aws.client("secretsmanager").create_secret(
            Name=deployment.logins[login],
            SecretString=json.dumps({"username": login, "password": password}),
            Tags=deployment.tag_list,
        )


def words(passwords):
    """Every password, of users and accounts."""
    users, accounts = (json.loads(text) for text in passwords.variables().values())
    assert (set(users), set(accounts)) == (set(OURS.users), set(OURS.accounts))
    return {**users, **accounts}


MANAGED = list(OURS.logins.values())


def test_the_first_deployment_makes_a_password_for_every_user_and_account(aws):
    made = secrets.collect(aws, OURS)
    assert set(made.made) == set(words(made)) == {*OURS.users, *OURS.accounts}
    assert made.version == 1
    assert len(set(words(made).values())) == len(OURS.users) + len(OURS.accounts)
    for password in words(made).values():
        assert len(password) >= 32
        assert password.replace("-", "").replace("_", "").isalnum()


def test_the_second_deployment_uses_the_same(aws):
    first = secrets.collect(aws, OURS)
    store(aws, OURS, first)
    again = secrets.collect(aws, OURS, managed=MANAGED, written=1)
    assert words(again) == words(first)
    assert (again.version, again.made) == (1, ())


def test_a_new_user_gets_one_and_the_others_keep_theirs(aws):
    first = secrets.collect(aws, OURS)
    store(aws, OURS, first)
    aws.client("secretsmanager").delete_secret(SecretId=OURS.user_secret("auditor"), ForceDeleteWithoutRecovery=True)
    managed = [name for name in MANAGED if not name.endswith("/auditor")]
    again = secrets.collect(aws, OURS, managed=managed, written=1)
    # Terraform creates its secret, and so needs no new version.
    assert (again.version, again.made) == (1, ("auditor",))
    assert {login for login in OURS.logins if words(again)[login] != words(first)[login]} == {"auditor"}


def test_a_password_that_was_lost_is_written_again_by_a_new_version(aws):
    first = secrets.collect(aws, OURS)
    store(aws, OURS, first)
    aws.client("secretsmanager").delete_secret(SecretId=OURS.user_secret("auditor"), ForceDeleteWithoutRecovery=True)
    assert secrets.collect(aws, OURS, managed=MANAGED, written=4).version == 5


@pytest.mark.parametrize(
    ("rotate", "changed"),
    [
        (["admin"], {"admin"}),
        (["broker", "admin"], {"broker", "admin"}),
        (["all"], set(OURS.logins) - {"zookeeper_quorum", "zookeeper_client"}),
    ],
)
def test_rotation_is_a_new_version(aws, rotate, changed):
    first = secrets.collect(aws, OURS)
    store(aws, OURS, first)
    rotated = secrets.collect(aws, OURS, managed=MANAGED, written=1, rotate=rotate)
    assert rotated.version == 2
    assert set(rotated.made) == changed
    assert {login for login in OURS.logins if words(rotated)[login] != words(first)[login]} == changed


def test_rotating_nobody_is_wrong_use(aws):
    with pytest.raises(UsageError, match="no such Kafka user or account"):
        secrets.collect(aws, OURS, rotate=["nobody"])


def test_a_password_of_zookeeper_cannot_be_rotated(aws):
    with pytest.raises(UsageError, match="zookeeper_quorum: ZooKeeper's members would no longer know each other"):
        secrets.collect(aws, OURS, rotate=["admin", "zookeeper_quorum"])


def test_a_secret_that_waits_for_its_deletion_is_restored_where_the_deployment_lives(aws):
    first = secrets.collect(aws, OURS)
    store(aws, OURS, first)
    name = OURS.user_secret("admin")
    aws.client("secretsmanager").delete_secret(SecretId=name)
    shown = secrets.collect(aws, OURS, managed=MANAGED, written=1)
    assert (shown.made, shown.dying) == (("admin",), (name,))
    assert "DeletedDate" in secrets.describe(aws, name)
    secrets.revive(aws, OURS, shown.dying, MANAGED)
    again = secrets.collect(aws, OURS, managed=MANAGED, written=1)
    assert (words(again), again.dying) == (words(first), ())


def test_and_its_deletion_is_completed_where_it_does_not(aws):
    first = secrets.collect(aws, OURS)
    store(aws, OURS, first)
    name = OURS.user_secret("admin")
    aws.client("secretsmanager").delete_secret(SecretId=name)
    shown = secrets.collect(aws, OURS)
    assert "DeletedDate" in secrets.describe(aws, name)
    secrets.revive(aws, OURS, shown.dying, ())
    assert secrets.describe(aws, name) is None
    again = secrets.collect(aws, OURS)
    assert (again.made, again.dying) == (("admin",), ())
    assert words(again)["admin"] != words(first)["admin"]


@pytest.mark.parametrize("tags", [[], [{"Key": "Owner", "Value": "x"}], NEIGHBOUR.tag_list])
def test_a_secret_without_our_tags_is_nobody_we_may_touch(aws, tags):
    client, name = aws.client("secretsmanager"), OURS.user_secret("admin")
    client.create_secret(Name=name, SecretString="{}", Tags=tags)
    client.delete_secret(SecretId=name)
    for managed in ((), MANAGED):
        with pytest.raises(DeploymentError, match="belongs to somebody else"):
            secrets.collect(aws, OURS, managed=managed)
        with pytest.raises(DeploymentError, match="belongs to somebody else"):
            secrets.revive(aws, OURS, [name], managed)
    assert "DeletedDate" in secrets.describe(aws, name)
    assert leftovers.find(aws, OURS).found == ()


def test_a_secret_that_is_back_already_stays_as_it_is(aws):
    store(aws, OURS, first := secrets.collect(aws, OURS))
    secrets.revive(aws, OURS, [OURS.user_secret("admin")], ())
    assert words(secrets.collect(aws, OURS)) == words(first)


def test_a_secret_of_somebody_else_is_refused(aws):
    aws.client("secretsmanager").create_secret(
        Name=OURS.user_secret("admin"), SecretString="{}", Tags=NEIGHBOUR.tag_list
    )
    with pytest.raises(DeploymentError, match="belongs to somebody else"):
        secrets.collect(aws, OURS)


def test_a_secret_that_holds_something_else_is_an_error_that_does_not_show_it(aws):
    aws.client("secretsmanager").create_secret(
        Name=OURS.user_secret("admin"), SecretString="not json: hunter2", Tags=OURS.tag_list
    )
    with pytest.raises(AwsError) as raised:
        secrets.collect(aws, OURS)
    assert "hunter2" not in str(raised.value)


def test_passwords_do_not_show_when_they_are_printed(aws):
    made = secrets.collect(aws, OURS)
    shown = f"{made} {made!r}"
    assert not [password for password in words(made).values() if password in shown]


def test_the_authority_is_made_once(aws):
    first = authority.find_or_make(aws, OURS, NOW)
    assert first.kept == "create"
    assert secrets.describe(aws, OURS.ca_key_secret) is None
    authority.keep(aws, OURS, first)
    again = authority.find_or_make(aws, OURS, NOW)
    assert (again.certificate, again.key, again.kept) == (first.certificate, first.key, "yes")
    assert OURS.owns(secrets.describe(aws, OURS.ca_key_secret)["Tags"])


def test_the_certificate_is_an_authoritys_and_belongs_to_the_key(aws):
    made = authority.find_or_make(aws, OURS, NOW)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert load_pem_private_key(made.key.reveal().encode(), None).public_key() == certificate.public_key()
    assert made.key.reveal() not in repr(made)


def test_a_certificate_about_to_expire_is_renewed_with_the_same_key(aws):
    first = authority.find_or_make(aws, OURS, NOW)
    authority.keep(aws, OURS, first)
    later = NOW + VALIDITY - RENEWAL + timedelta(days=1)
    renewed = authority.find_or_make(aws, OURS, later)
    assert (renewed.kept, renewed.key) == ("renew", first.key)
    authority.keep(aws, OURS, renewed)
    assert authority.find_or_make(aws, OURS, later).certificate == renewed.certificate != first.certificate


@pytest.mark.parametrize("change", ["foreign", "deleted", "empty"])
def test_a_key_that_is_not_usable_is_not_replaced(aws, change):
    client = aws.client("secretsmanager")
    authority.keep(aws, OURS, authority.find_or_make(aws, OURS, NOW))
    if change == "foreign":
        client.tag_resource(SecretId=OURS.ca_key_secret, Tags=NEIGHBOUR.tag_list)
    elif change == "deleted":
        client.delete_secret(SecretId=OURS.ca_key_secret)
    else:
        client.put_secret_value(SecretId=OURS.ca_key_secret, SecretString="{}")
    with pytest.raises((DeploymentError, AwsError)):
        authority.find_or_make(aws, OURS, NOW)


def test_only_our_key_is_deleted(aws):
    for deployment in (OURS, NEIGHBOUR):
        authority.keep(aws, deployment, authority.find_or_make(aws, deployment, NOW))
    assert authority.remove(aws, OURS)
    assert not authority.remove(aws, OURS)
    assert secrets.describe(aws, OURS.ca_key_secret) is None
    assert secrets.describe(aws, NEIGHBOUR.ca_key_secret)
