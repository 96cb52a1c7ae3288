"""The `aws-secrets-manager` destination against moto's server, with what networks do to it in between."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import exceptions

from reconciler.destinations import aws as aws_client
from reconciler.destinations.aws import LARGEST, AwsSecretsManager
from reconciler.destinations.base import Closing, Describing, Held, SecretDelivery
from reconciler.errors import DestinationError
from reconciler.http.retry import POLICY, Timing
from reconciler.model import Address, Target
from reconciler.secret import Secret
from support.leaks import everything_shown
from support.meddler import Cut, Meddler, Say
from support.places.aws import read_descriptions_once
from support.servers import moto

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from types_boto3_secretsmanager import SecretsManagerClient

    from support.meddler import Seen, Verdict

LEAK = "ng-THISMUSTNEVERBESHOWN0000000000000"
REGION = "eu-central-1"
NAME = "naga/production/api"


@pytest.fixture(autouse=True)
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meddler]:
    """What stands at AWS_ENDPOINT_URL: moto with nothing in it, seen through a meddler."""
    meddler = Meddler()
    meddler.reset(moto())
    read_descriptions_once(monkeypatch)
    post(f"{moto()}/moto-api/reset")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", meddler.url)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    yield meddler
    meddler.close()


def post(url: str, body: bytes = b"") -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain"}, method="POST")  # noqa: S310  # http
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310  # http


@pytest.fixture(scope="module")
def administrator() -> Iterator[SecretsManagerClient]:
    client = boto3.session.Session().client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=moto(),
        aws_access_key_id="owner",
        aws_secret_access_key="owner",
    )
    yield client
    client.close()


@pytest.fixture
def owner(administrator: SecretsManagerClient) -> SecretsManagerClient:
    """Somebody who may do everything, past the meddler."""
    return administrator


class Clock:
    """Notes the waits instead of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    @property
    def timing(self) -> Timing:
        return Timing(sleep=self.sleep, random=lambda: 0.0)


def aws(clock: Clock | None = None, **settings: str) -> AwsSecretsManager:
    target = Target("aws", "aws-secrets-manager", tuple(settings.items()))
    return AwsSecretsManager(target, (clock or Clock()).timing)


def secret_delivery(name: str = NAME, secret: str = LEAK, key_id: int = 7) -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), key_id, name, Secret(secret))


def run(*steps: Coroutine[object, object, object], closing: Sequence[AwsSecretsManager] = ()) -> object:
    """Run steps one after the other; gives what the last one gives."""

    async def all_of_them() -> object:
        result: object = None
        for step in steps:
            result = await step
        for each in closing:
            await each.aclose()
        return result

    return asyncio.run(all_of_them())


def failure(work: Coroutine[object, object, object]) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        run(work)
    assert "\n" not in str(caught.value)
    return caught.value


def operation(seen: Seen) -> str:
    return seen.headers.get("x-amz-target", "").rpartition(".")[2]


def is_write(seen: Seen) -> bool:
    return b"SecretString" in seen.body


def once(verdict: Verdict, wanted: Callable[[Seen], bool] = is_write) -> Callable[[Seen], Verdict]:
    left = [verdict]
    return lambda seen: left.pop() if left and wanted(seen) else None


def always(verdict: Verdict, wanted: Callable[[Seen], bool] = is_write) -> Callable[[Seen], Verdict]:
    return lambda seen: verdict if wanted(seen) else None


def refusal(code: str, message: str = "", status: int = 400) -> Say:
    return Say(status, json.dumps({"__type": code, "Message": message}).encode())


def value(owner: SecretsManagerClient, stage: str = "AWSCURRENT", name: str = NAME) -> str:
    return owner.get_secret_value(SecretId=name, VersionStage=stage)["SecretString"]


def tags(owner: SecretsManagerClient) -> dict[str, str]:
    return {tag.get("Key", ""): tag.get("Value", "") for tag in owner.describe_secret(SecretId=NAME).get("Tags", [])}


# --- what is stored -------------------------------------------------------------------------------------------------


def test_a_new_secret_says_whose_it_is(owner: SecretsManagerClient) -> None:
    place = aws()
    described = run(
        place.preflight([NAME]),
        place.deliver(secret_delivery(secret="ng-1")),
        place.describe([NAME, "naga/none"]),
        closing=[place, place],
    )
    assert value(owner) == "ng-1"
    assert isinstance(described, dict)
    assert described.keys() == {NAME}
    assert described[NAME].key_id == 7
    assert abs(described[NAME].since - datetime.now(UTC)) < timedelta(minutes=5)
    noted = tags(owner)
    assert noted.keys() == {"naga:key-id", "naga:address", "naga:since", "naga:version", "naga:sha256"}
    assert (noted["naga:key-id"], noted["naga:address"]) == ("7", "production/api")


def test_the_destination_describes_and_closes() -> None:
    assert isinstance(aws(), Describing)
    assert isinstance(aws(), Closing)


def test_a_rotation_keeps_the_secret_before_it_as_awsprevious(owner: SecretsManagerClient) -> None:
    owner.create_secret(Name=NAME, SecretString="by hand", Tags=[{"Key": "owner", "Value": "platform"}])
    place = aws()
    described = run(
        place.deliver(secret_delivery(secret="ng-1")),
        place.deliver(secret_delivery(secret="ng-2", key_id=8)),
        place.describe([NAME]),
    )
    assert (value(owner), value(owner, "AWSPREVIOUS")) == ("ng-2", "ng-1")
    assert isinstance(described, dict)
    assert described[NAME].key_id == 8
    assert tags(owner)["owner"] == "platform"


def test_delivering_the_same_once_more_keeps_awsprevious(owner: SecretsManagerClient) -> None:
    place = aws()
    run(
        place.deliver(secret_delivery(secret="ng-1")),
        place.deliver(secret_delivery(secret="ng-2", key_id=8)),
        place.deliver(secret_delivery(secret="ng-2", key_id=8)),
    )
    assert (value(owner), value(owner, "AWSPREVIOUS")) == ("ng-2", "ng-1")


def test_an_encryption_key_of_the_file_holds_for_new_and_old_secrets(
    owner: SecretsManagerClient, front: Meddler
) -> None:
    place = aws(kms_key_id="alias/naga")
    run(place.deliver(secret_delivery(secret="ng-1")))
    assert owner.describe_secret(SecretId=NAME)["KmsKeyId"] == "alias/naga"
    run(aws(kms_key_id="alias/other").deliver(secret_delivery(secret="ng-2")))
    assert owner.describe_secret(SecretId=NAME)["KmsKeyId"] == "alias/other"
    assert (value(owner), value(owner, "AWSPREVIOUS")) == ("ng-2", "ng-1")
    assert "PutSecretValue" not in {operation(seen) for seen in front.seen}


def test_the_region_of_the_file_wins(owner: SecretsManagerClient, front: Meddler) -> None:
    run(aws(region="us-west-2").deliver(secret_delivery()))
    assert owner.list_secrets()["SecretList"] == []
    assert "/us-west-2/secretsmanager/" in front.seen[0].headers["authorization"]


def test_a_value_that_somebody_else_has_put_is_of_an_unknown_key(owner: SecretsManagerClient) -> None:
    place = aws()
    run(place.deliver(secret_delivery()))
    owner.put_secret_value(SecretId=NAME, SecretString="by hand")
    owner.create_secret(Name="foreign", SecretString="by hand")
    assert run(place.describe([NAME, "foreign"])) == {NAME: Held(None, None), "foreign": Held(None, None)}


def test_a_secret_without_a_value_and_a_deleted_one_hold_nothing(owner: SecretsManagerClient) -> None:
    owner.create_secret(Name="empty")
    owner.create_secret(Name="going", SecretString="x")
    owner.delete_secret(SecretId="going")
    assert run(aws().describe(["empty", "going"])) == {}


@pytest.mark.parametrize(("tag", "held"), [("key-id", Held(None, None)), ("since", Held(7, None))])
def test_tags_that_cannot_be_read_say_no_more_than_they_do(owner: SecretsManagerClient, tag: str, held: Held) -> None:
    place = aws()
    run(place.deliver(secret_delivery()))
    owner.tag_resource(SecretId=NAME, Tags=[{"Key": f"naga:{tag}", "Value": "x"}])
    if tag == "key-id":
        owner.untag_resource(SecretId=NAME, TagKeys=["naga:since"])
    assert run(place.describe([NAME])) == {NAME: held}


def test_describing_what_may_not_be_looked_at_says_so(front: Meddler) -> None:
    front.rule = always(refusal("AccessDeniedException", "not authorized"), lambda _: True)
    assert "DescribeSecret: AccessDeniedException: not authorized" in str(failure(aws().describe([NAME])))


@pytest.mark.parametrize(
    ("name", "secret", "says"),
    [
        ("naga api", LEAK, "it is no name for a secret"),
        ("", LEAK, "it is no name for a secret"),
        ("n" * 513, LEAK, "it is no name for a secret"),
        (NAME, LEAK.ljust(LARGEST + 1, "0"), f"the secret is larger than {LARGEST} bytes"),
        (NAME, f"{LEAK}\udc80", "the secret is no text"),
    ],
)
def test_what_aws_would_not_take_is_not_sent(front: Meddler, name: str, secret: str, says: str) -> None:
    error = failure(aws().deliver(secret_delivery(name, secret)))
    assert says in str(error)
    assert LEAK not in everything_shown(error)
    assert not front.seen


# --- replies that get lost ------------------------------------------------------------------------------------------

THROTTLED = refusal("ThrottlingException", "Rate exceeded")


@pytest.mark.parametrize("verdict", [Cut(after=True), Cut(after=False), Say(503), THROTTLED, Say(429)], ids=str)
@pytest.mark.parametrize(
    ("wanted", "existing"), [("PutSecretValue", True), ("CreateSecret", False), ("TagResource", True)]
)
def test_what_fails_in_passing_is_tried_again_and_makes_one_version(
    owner: SecretsManagerClient, front: Meddler, wanted: str, verdict: Verdict, *, existing: bool
) -> None:
    if existing:
        owner.create_secret(Name=NAME, SecretString="by hand")
    front.rule = once(verdict, lambda seen: operation(seen) == wanted)
    place = aws()
    described = run(place.deliver(secret_delivery(secret="ng-1")), place.describe([NAME]))
    assert value(owner) == "ng-1"
    assert isinstance(described, dict)
    assert described[NAME].key_id == 7
    assert len(owner.list_secret_version_ids(SecretId=NAME)["Versions"]) == 1 + existing


def test_a_secret_that_somebody_creates_at_the_same_moment_gets_our_version(
    owner: SecretsManagerClient, front: Meddler
) -> None:
    def rule(seen: Seen) -> Verdict:
        if operation(seen) == "CreateSecret":
            owner.create_secret(Name=NAME, SecretString="theirs")
        return None

    front.rule = rule
    run(aws().deliver(secret_delivery(secret="ng-1")))
    assert (value(owner), value(owner, "AWSPREVIOUS")) == ("ng-1", "theirs")


@pytest.mark.parametrize(
    ("verdict", "says", "uncertain"),
    [
        (Cut(after=True), "the connection broke", True),
        (Cut(after=False), "the connection broke", True),
        (refusal("InternalServiceError", "sorry", 500), "InternalServiceError: sorry", True),
        (refusal("InternalServiceError"), "PutSecretValue: InternalServiceError:", True),
        (Say(502, b"<h1>Bad gateway</h1>"), "PutSecretValue: ", True),
        (Say(200, b"<h1>Sign in</h1>"), "no answer that Secrets Manager gives", True),
        (THROTTLED, "PutSecretValue: ThrottlingException: Rate exceeded", False),
        (refusal("AccessDeniedException", "no"), "PutSecretValue: AccessDeniedException: no", False),
        (refusal("InvalidRequestException", "marked deleted"), "InvalidRequestException: marked deleted", False),
    ],
    ids=str,
)
def test_an_error_says_whether_the_secret_may_be_there(
    front: Meddler, verdict: Verdict, says: str, *, uncertain: bool
) -> None:
    front.rule = always(verdict)
    error = failure(aws().deliver(secret_delivery()))
    assert says in str(error)
    assert error.uncertain is uncertain
    assert ("may not be stored" in str(error)) is uncertain


def test_a_doubt_outlives_a_clear_refusal(front: Meddler) -> None:
    doubt = [Cut(after=True)]
    denied = refusal("AccessDeniedException")
    front.rule = lambda seen: (doubt.pop() if doubt else denied) if is_write(seen) else None
    error = failure(aws().deliver(secret_delivery()))
    assert "AccessDeniedException" in str(error)
    assert error.uncertain


def test_a_secret_that_could_not_be_tagged_is_told_of_as_there(owner: SecretsManagerClient, front: Meddler) -> None:
    owner.create_secret(Name=NAME, SecretString="by hand")
    front.rule = always(refusal("AccessDeniedException", "no"), lambda seen: operation(seen) == "TagResource")
    place = aws()
    error = failure(place.deliver(secret_delivery(secret="ng-1")))
    assert f"{NAME} is stored but not tagged in AWS Secrets Manager: TagResource: AccessDenied" in str(error)
    assert error.uncertain
    assert value(owner) == "ng-1"
    assert run(place.describe([NAME])) == {NAME: Held(None, None)}


def test_a_service_that_asks_to_wait_is_waited_for(front: Meddler) -> None:
    front.rule = once(Say(429, THROTTLED.body, {"Retry-After": "7"}))
    clock = Clock()
    run(aws(clock).deliver(secret_delivery()))
    assert clock.waits == [7.0]


def test_a_service_that_is_not_there_leaves_no_doubt(front: Meddler) -> None:
    front.close()
    clock = Clock()
    error = failure(aws(clock).deliver(secret_delivery()))
    assert "the service cannot be reached" in str(error)
    assert not error.uncertain
    assert len(clock.waits) == POLICY.attempts - 1


@pytest.mark.parametrize("limit", ["READ_SECONDS", "WHOLE_SECONDS"])
def test_a_service_that_falls_silent_is_given_up(front: Meddler, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(aws_client, limit, 0.05)
    end = threading.Event()

    def hang(seen: Seen) -> Verdict:
        assert is_write(seen)  # so that nothing has to be answered within the limit
        end.wait(60)
        return None

    front.rule = hang
    try:
        error = failure(aws().deliver(secret_delivery()))
    finally:
        end.set()
    assert "no answer within" in str(error)
    assert error.uncertain


# --- shared by many -------------------------------------------------------------------------------------------------


def test_many_keys_share_one_client_and_few_connections(
    owner: SecretsManagerClient, front: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    session = boto3.session.Session

    def counted(**settings: Any) -> boto3.session.Session:
        made.append(settings)
        return session(**settings)

    monkeypatch.setattr(boto3.session, "Session", counted)
    places = [aws(kms_key_id=f"alias/{i}") for i in range(4)]

    async def deliver() -> None:
        work = (place.deliver(secret_delivery(f"naga/{i}/{j}")) for i, place in enumerate(places) for j in range(10))
        await asyncio.gather(*work)

    run(deliver(), closing=places)
    assert len(owner.list_secrets(MaxResults=100)["SecretList"]) == 40
    assert len(made) == 1
    assert 1 < front.most_at_once <= aws_client.CONNECTIONS


# --- preflight ------------------------------------------------------------------------------------------------------


def test_names_are_checked_before_anything_is_asked(front: Meddler) -> None:
    error = failure(aws().preflight(["naga api", "n" * 513, NAME, NAME]))
    assert "'naga api' is no name for a secret" in str(error)
    assert f"2 keys would be delivered as {NAME}" in str(error)
    assert {json.loads(seen.body)["SecretId"] for seen in front.seen} == {NAME}


def test_a_secret_in_a_state_that_takes_no_version_is_found(owner: SecretsManagerClient) -> None:
    owner.create_secret(Name="going", SecretString="x")
    owner.delete_secret(SecretId="going")
    owning = "aws:secretsmanager:owningService"
    owner.create_secret(Name="managed", SecretString="x", Tags=[{"Key": owning, "Value": "rds"}])
    owner.create_secret(Name="copied", SecretString="x", AddReplicaRegions=[{"Region": "us-east-1"}])
    error = str(failure(aws().preflight(["going", "managed", "copied"])))
    assert "going is scheduled for deletion" in error
    assert "managed belongs to the AWS service rds" in error
    assert "copied" not in error
    error = str(failure(aws(region="us-east-1").preflight(["copied"])))
    assert f"copied is a replica; deliver to {REGION}" in error


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the run that of a user who may do these actions with secrets; moto then looks at every signature."""

    def allow(*actions: str) -> None:
        session = boto3.session.Session(aws_access_key_id="owner", aws_secret_access_key="owner")
        iam = session.client("iam", endpoint_url=moto(), region_name="us-east-1")
        iam.create_user(UserName="ci")
        statement = {"Effect": "Allow", "Action": [f"secretsmanager:{each}" for each in actions], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="ci", PolicyName="naga", PolicyDocument=document)
        key = iam.create_access_key(UserName="ci")["AccessKey"]
        iam.close()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        post(f"{moto()}/moto-api/reset-auth", b"0")

    yield allow
    post(f"{moto()}/moto-api/reset-auth", b"inf")


@pytest.mark.parametrize(
    ("allowed", "denied"),
    [
        (["DescribeSecret"], "not authorized to perform: secretsmanager:PutSecretValue"),
        (["PutSecretValue"], "not authorized to perform: secretsmanager:DescribeSecret"),
        (["DescribeSecret", "PutSecretValue"], ""),
    ],
)
def test_a_missing_permission_is_found_without_writing(
    user: Callable[..., None], front: Meddler, allowed: list[str], denied: str
) -> None:
    user(*allowed)
    if denied:
        assert denied in str(failure(aws().preflight([NAME, "naga/other"])))
    else:
        run(aws().preflight([NAME, "naga/other"]))
    assert not [seen for seen in front.seen if is_write(seen)]


def test_with_an_encryption_key_of_the_file_a_permission_to_put_is_not_asked_for(user: Callable[..., None]) -> None:
    user("DescribeSecret", "UpdateSecret", "CreateSecret", "TagResource")
    place = aws(kms_key_id="alias/naga")
    run(place.preflight([NAME]), place.deliver(secret_delivery()), place.deliver(secret_delivery(secret="ng-2")))


def test_credentials_that_aws_does_not_know_are_found(
    user: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    user("*")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    error = failure(aws().preflight([NAME, "naga/other"]))
    assert str(error).count("The security token included in the request is invalid") == 1


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials were found"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "no credentials were found"),
        ({"AWS_REGION": None}, "no region is known"),
        ({"AWS_REGION": "nowhere at all"}, "cannot be used (InvalidRegionError)"),
        ({"AWS_PROFILE": "nobody"}, "cannot be used (ProfileNotFound)"),
        ({"AWS_ENDPOINT_URL": "http://aws.example.com"}, "AWS_ENDPOINT_URL must be https"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "unexpected ValueError"),
    ],
    ids=str,
)
def test_an_environment_that_leads_nowhere_is_a_finding(
    front: Meddler, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None], says: str
) -> None:
    for name, setting in variables.items():
        if setting is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, setting)
    place = aws()
    error = failure(place.preflight([NAME, "naga/other"]))
    assert str(error).count(says) == 1
    run(place.aclose())
    assert not front.seen


def test_a_service_that_is_not_there_is_asked_for_one_name_only(front: Meddler) -> None:
    front.close()
    clock = Clock()
    error = failure(aws(clock).preflight([f"naga/{i}" for i in range(20)]))
    assert str(error).count("the service cannot be reached") == 1
    assert len(clock.waits) == POLICY.attempts - 1


# --- nothing leaks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict",
    [
        refusal("ValidationException", f"Value '{LEAK}' at 'secretString' failed to satisfy constraint"),
        refusal(LEAK, LEAK, 500),
        Say(502, LEAK.encode()),
        Say(200, LEAK.encode()),
        Cut(after=True),
        Cut(after=False),
    ],
    ids=str,
)
def test_no_failure_shows_a_secret_anywhere(front: Meddler, caplog: pytest.LogCaptureFixture, verdict: Verdict) -> None:
    caplog.set_level(logging.DEBUG)
    front.rule = always(verdict)
    error = failure(aws().deliver(secret_delivery()))
    for shown in (everything_shown(error), caplog.text, repr([vars(record) for record in caplog.records])):
        assert LEAK not in shown
    assert any(record.name == "reconciler.destinations" for record in caplog.records)


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_an_error_that_repeats_the_credentials_shows_none(
    front: Meddler, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    held = "FwoGZXIvYXdzEBYaDKEPTTOITSELF0123456789abcdef"
    monkeypatch.setenv(name, held)
    front.rule = always(refusal("InvalidSignatureException", f"not signed: {held} or {held[::-1]}"))
    error = failure(aws().deliver(secret_delivery()))
    assert "not signed" in str(error)
    assert held not in str(error)
    assert held[::-1] not in str(error)


def test_a_success_logs_no_secret_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run(aws().deliver(secret_delivery()))
    assert LEAK not in caplog.text


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (exceptions.ConnectTimeoutError(endpoint_url=LEAK, error=LEAK), "no connection within 5 s"),
        (exceptions.ReadTimeoutError(endpoint_url=LEAK, error=LEAK), "no answer within 30 s"),
        (exceptions.SSLError(endpoint_url=LEAK, error=OSError(LEAK)), "no trust in the certificate"),
        (exceptions.ProxyConnectionError(proxy_url=LEAK), "the service cannot be reached"),
        (exceptions.HTTPClientError(error=LEAK), "the answer cannot be read"),
        (exceptions.ParamValidationError(report=LEAK), "cannot be used (ParamValidationError)"),
        (exceptions.CredentialRetrievalError(provider=LEAK, error_msg=LEAK), "cannot be used (CredentialRetrieval"),
        (RuntimeError(LEAK), "unexpected RuntimeError"),
    ],
)
def test_the_words_of_the_library_are_not_repeated(error: Exception, says: str) -> None:
    reply = aws_client._no_reply(error)
    assert says in reply.said
    assert LEAK not in repr(reply)
