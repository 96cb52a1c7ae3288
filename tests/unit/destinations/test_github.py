from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.destinations.base import Held
from reconciler.destinations.github import LARGEST_SECRET
from reconciler.errors import DestinationError
from support.github.fake import TOKEN, Grant, Stored
from support.github.transport import Mishap
from support.github.world import ENVIRONMENT, LEAK, ORGANIZATION, REPOSITORY, World, secret_delivery
from support.leaks import everything_shown

if TYPE_CHECKING:
    from reconciler.model import Setting


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


ENV: dict[str, Setting] = {"environment": "production"}
ORG: dict[str, Setting] = {"organization": "acme", "visibility": "private"}


# --- where secrets go -------------------------------------------------------------------------------------------------


def test_a_secret_of_a_repository_arrives_as_it_is(world: World) -> None:
    world.deliver(world.repository(), secret="ng-ä€𝄞 '\"$\n")
    assert world.fake.held(REPOSITORY) == {"NAGA_API": "ng-ä€𝄞 '\"$\n"}


def test_a_secret_of_an_environment_arrives_there_and_not_in_the_repository(world: World) -> None:
    world.deliver(world.repository(**ENV))
    assert world.fake.held(ENVIRONMENT) == {"NAGA_API": LEAK}
    assert world.fake.held(REPOSITORY) == {}


@pytest.mark.parametrize("name", ["eu/west 1", "100%", "a?b#c", "größe"])
def test_an_environment_may_have_any_name(world: World, name: str) -> None:
    world.fake.environments["acme/api"].add(name)
    destination = world.repository(environment=name)
    world.run(destination.preflight(["NAGA_API"]))
    world.deliver(destination)
    assert world.fake.held(f"repos/acme/api/environments/{name}") == {"NAGA_API": LEAK}


@pytest.mark.parametrize("visibility", ["all", "private"])
def test_a_secret_of_an_organization_is_seen_by_whom_the_file_says(world: World, visibility: str) -> None:
    world.deliver(world.open(organization="acme", visibility=visibility))
    stored = world.fake.secrets[ORGANIZATION]["NAGA_API"]
    assert (stored.value, stored.fields) == (LEAK, {"visibility": visibility})


def test_a_secret_of_an_organization_goes_to_selected_repositories(world: World) -> None:
    destination = world.open(organization="acme", visibility="selected", selected_repositories=("12", "7"))
    world.run(destination.preflight(["NAGA_API"]))
    world.deliver(destination)
    fields = {"visibility": "selected", "selected_repository_ids": [12, 7]}
    assert world.fake.secrets[ORGANIZATION]["NAGA_API"].fields == fields


# --- the public key ---------------------------------------------------------------------------------------------------


def asked(world: World, word: str) -> int:
    return sum(word in line for line in world.fake.asked)


def test_many_secrets_need_the_public_key_once_and_a_few_connections(world: World) -> None:
    destination = world.repository()
    names = [f"NAGA_{number}" for number in range(50)]

    async def run() -> None:
        await destination.preflight(names)
        await asyncio.gather(*(destination.deliver(secret_delivery(name)) for name in names))

    world.run(run())
    assert len(world.fake.held(REPOSITORY)) == 50
    assert asked(world, "public-key") == 1
    assert world.fake.most_at_once == 8


def test_targets_of_one_repository_ask_for_it_once(world: World) -> None:
    world.fake.environments["acme/api"] = {"a", "b", "c"}
    destinations = [world.repository(environment=name) for name in "abc"]

    async def run() -> None:
        await asyncio.gather(*(each.preflight(["NAGA_API"]) for each in destinations))

    world.run(run())
    assert world.fake.asked.count("GET repos/acme/api") == 1
    assert asked(world, "public-key") == 3


def test_a_public_key_that_was_replaced_is_asked_for_once_more(world: World) -> None:
    destination = world.repository()

    async def run() -> None:
        await destination.preflight(["NAGA_API"])
        world.fake.renew_key(REPOSITORY)
        await asyncio.gather(*(destination.deliver(secret_delivery(f"NAGA_{number}")) for number in range(20)))

    world.run(run())
    assert len(world.fake.held(REPOSITORY)) == 20
    assert asked(world, "public-key") == 2


def test_what_is_refused_with_the_public_key_of_now_is_refused(world: World) -> None:
    world.way.expect("PUT", Mishap(422, content='{"message": "Secret limit reached"}'))
    error = world.failure(world.repository())
    assert str(error) == "NAGA_API was not stored in acme/api: 422 Secret limit reached"
    assert not error.uncertain
    assert asked(world, "public-key") == 2


def test_a_public_key_that_cannot_be_fetched_anew_leaves_the_refusal(world: World) -> None:
    destination = world.repository()
    world.way.expect("PUT", Mishap(422, content='{"message": "stale"}'))
    world.way.expect("public-key", Mishap(403))

    async def run() -> None:
        await destination.preflight(["NAGA_API"])
        await destination.deliver(secret_delivery())

    assert str(world.error(run)) == "NAGA_API was not stored in acme/api: 422 stale"


def test_a_lost_answer_before_a_stale_key_keeps_the_delivery_uncertain(world: World) -> None:
    destination = world.repository()
    world.way.expect("PUT", Mishap(502, after=True), Mishap(422), Mishap(403))

    async def run() -> None:
        await destination.preflight(["NAGA_API"])
        world.fake.renew_key(REPOSITORY)
        await destination.deliver(secret_delivery())

    error = world.error(run)
    assert isinstance(error, DestinationError)
    assert error.uncertain


@pytest.mark.parametrize(
    "content",
    [
        '{"key_id": "1", "key": "AAAA"}',
        '{"key_id": "1", "key": "no base64!"}',
        '{"key_id": 1, "key": "2Sg8iYjAxxmI2LvUXpJjkYrMxURPc8r+dB7TJyvvcCU="}',
        "{}",
    ],
)
def test_an_answer_that_is_no_public_key_is_not_used(world: World, content: str) -> None:
    world.way.expect("public-key", Mishap(200, content=content))
    error = world.failure(world.repository())
    assert "the answer holds no public key that a secret can be sealed with" in str(error)


def test_a_public_key_that_seals_nothing_is_refused(world: World) -> None:
    zero = "A" * 43 + "="
    world.way.expect("public-key", Mishap(200, content=f'{{"key_id": "1", "key": "{zero}"}}'))
    error = world.failure(world.repository())
    assert str(error).endswith("its public key is none that a secret can be sealed with")
    assert LEAK not in everything_shown(error)


# --- what would go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, ENV])
def test_preflight_likes_what_can_be_delivered(world: World, settings: dict[str, Any]) -> None:
    world.run(world.repository(**settings).preflight(["NAGA_API", "_X1"]))
    assert [line for line in world.fake.asked if not line.startswith("GET")] == []


@pytest.mark.parametrize("name", ["", "naga", "1ST", "NAGA-KEY", "GITHUB_X", "A" * 256, "NÄGA", "A\n"])
def test_preflight_names_what_is_no_name(world: World, name: str) -> None:
    message = world.refusal(world.repository(), name, "GOOD")
    assert message.startswith(f"acme/api: {name!r} is no name for a secret (")
    assert "GOOD" not in message


def test_a_name_that_only_begins_like_github_is_taken(world: World) -> None:
    world.deliver(world.repository(), name="GITHUBX_" + "A" * 247)
    assert len(world.fake.held(REPOSITORY)) == 1


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"repository": "acme/none"}, "acme/none: there is no acme/none, or this login may not see it"),
        (
            {"organization": "none", "visibility": "all"},
            "the organization none: there is no none, or this login may not see it",
        ),
        (
            {"repository": "acme/api", "environment": "stagng"},
            (
                "the environment stagng of acme/api: there is no such environment; "
                "create it (acme/api: Settings, Environments, New environment)"
            ),
        ),
    ],
)
def test_preflight_says_what_is_not_there(world: World, settings: dict[str, Any], missing: str) -> None:
    assert world.refusal(world.open(**settings)) == missing


@pytest.mark.parametrize(
    ("settings", "permission", "needed"),
    [
        ({"repository": "acme/api"}, "secrets", "the repository permission 'Secrets: write'"),
        ({"repository": "acme/api", **ENV}, "environments", "the repository permission 'Environments: write'"),
        (ORG, "organization_secrets", "the organization permission 'Secrets: write'"),
    ],
)
def test_preflight_says_which_permission_is_missing(
    world: World, settings: dict[str, Any], permission: str, needed: str
) -> None:
    others = {"secrets", "environments", "organization_secrets"} - {permission}
    world.fake.tokens[TOKEN] = Grant(dict.fromkeys(others, "write"))
    message = world.refusal(world.open(**settings))
    assert f"403 Resource not accessible by personal access token; the token needs {needed} there" in message
    assert "the GITHUB_TOKEN that GitHub gives every job cannot have it" in message


def test_an_environment_that_is_there_but_hidden_is_no_missing_one(world: World) -> None:
    world.way.expect("public-key", Mishap(404, content='{"message": "Not Found"}'))
    message = world.refusal(world.repository(**ENV))
    assert "404 Not Found; the token needs the repository permission 'Environments: write' there" in message
    world.way.expect("public-key", Mishap(404, content='{"message": "Not Found"}'))
    assert "'Secrets: write'" in world.refusal(world.repository())


def test_an_environment_is_only_looked_for_where_its_public_key_was_not_found(world: World) -> None:
    world.fake.environments["acme/api"].clear()
    world.way.expect("public-key", Mishap(403, content='{"message": "Forbidden"}'))
    assert "403 Forbidden" in world.refusal(world.repository(**ENV))


@pytest.mark.parametrize(
    ("settings", "scopes", "lacking"),
    [
        ({"repository": "acme/api"}, "public_repo, gist", "acme/api: the token lacks the scope repo"),
        (ORG, "repo, read:org", "the organization acme: the token lacks the scope admin:org"),
    ],
)
def test_preflight_looks_at_the_scopes_of_a_classic_token(
    world: World, settings: dict[str, Any], scopes: str, lacking: str
) -> None:
    world.fake.tokens[TOKEN] = Grant({}, scopes=scopes)
    assert world.refusal(world.open(**settings)) == lacking


@pytest.mark.parametrize("scopes", ["repo, admin:org", ""])
def test_preflight_takes_a_token_with_the_scope_or_without_any_said(world: World, scopes: str) -> None:
    world.fake.tokens[TOKEN] = Grant({}, scopes=scopes)
    world.run(world.open(**ORG).preflight(["NAGA_API"]))
    world.run(world.repository().preflight(["NAGA_API"]))


def test_preflight_finds_a_repository_that_takes_nothing_any_more(world: World) -> None:
    world.fake.repositories["acme/api"] = True
    assert world.refusal(world.repository()) == "acme/api: the repository is archived, so it takes no secrets"
    assert "403 Repository was archived so is read-only." in str(world.failure(world.repository()))


def test_preflight_finds_a_repository_that_has_moved(world: World) -> None:
    location = {"Location": "https://user:pass@api.github.com/repositories/1"}
    world.way.expect("acme/api", Mishap(301, headers=location))
    words = "301, a redirect to api.github.com, which is never followed: it was renamed or moved"
    assert words in world.refusal(world.repository())


def test_preflight_finds_a_wrong_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_wrong")
    expected = "acme/api: the token is refused (401 Bad credentials): it is wrong, expired or revoked"
    assert world.refusal(world.repository()) == expected


@pytest.mark.parametrize(
    ("settings", "place", "capacity"), [({"repository": "acme/api"}, REPOSITORY, 100), (ORG, ORGANIZATION, 1000)]
)
def test_preflight_counts_what_is_there(world: World, settings: dict[str, Any], place: str, capacity: int) -> None:
    stored = Stored("x", "2026-01-01T00:00:00Z", {"visibility": "all"})
    world.fake.secrets[place] = {f"OLD_{number}": stored for number in range(capacity - 1)}
    world.run(world.open(**settings).preflight(["NAGA_API", "OLD_1"]))
    message = world.refusal(world.open(**settings), "NAGA_API", "NAGA_JOBS")
    assert message.endswith(f"{capacity + 1} secrets are too many for it ({capacity})")


def test_preflight_wants_to_see_what_is_there(world: World) -> None:
    world.way.expect("secrets?", Mishap(403, content='{"message": "no"}'))
    assert "acme/api: what is there cannot be read: 403 no" in world.refusal(world.repository())
    world.way.expect("secrets?", Mishap(200))
    assert world.refusal(world.repository()).endswith("read: the answer holds no list of secrets")


def test_everything_that_is_wrong_comes_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    message = world.refusal(world.repository(), "naga", "NAGA_API", "NAGA_API")
    assert "'naga' is no name" in message
    assert "2 keys would be delivered as NAGA_API" in message
    assert "there is nothing to log in with: set GITHUB_TOKEN" in message


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_secret_too_large_is_not_sent(world: World) -> None:
    destination = world.repository()
    world.deliver(destination, secret="x" * LARGEST_SECRET)
    with pytest.raises(DestinationError, match=r"no UTF-8 text of at most 49152 bytes"):
        world.deliver(destination, secret="é" * (LARGEST_SECRET // 2 + 1))
    assert asked(world, "PUT") == 1


def test_a_name_that_is_none_is_not_sent(world: World) -> None:
    with pytest.raises(DestinationError, match="naga was not stored in acme/api: it is no name for a secret"):
        world.deliver(world.repository(), name="naga")
    assert world.fake.asked == []


def test_a_secret_that_has_no_bytes_is_not_sent(world: World) -> None:
    with pytest.raises(DestinationError, match="no UTF-8 text"):
        world.deliver(world.repository(), secret="\ud800")


def test_without_a_login_nothing_is_delivered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    error = world.failure(world.repository())
    assert "there is nothing to log in with" in str(error)
    assert not error.uncertain


@pytest.mark.parametrize(
    "mishap",
    [
        Mishap(500),
        Mishap(502, content="<html>"),
        Mishap(503, headers={"Retry-After": "2"}),
        Mishap(504, after=True),
        Mishap(error=httpx.ReadTimeout("x"), after=True),
        Mishap(error=httpx.ConnectError("x")),
        Mishap(error=httpx.RemoteProtocolError("x"), after=True),
    ],
)
def test_what_may_pass_is_tried_again(world: World, mishap: Mishap) -> None:
    world.way.expect("PUT", mishap, mishap)
    world.deliver(world.repository())
    assert world.fake.held(REPOSITORY) == {"NAGA_API": LEAK}


@pytest.mark.parametrize(
    ("mishap", "words", "uncertain"),
    [
        (Mishap(error=httpx.ConnectError("x")), "no connection (tried 6 times)", False),
        (Mishap(error=httpx.ConnectTimeout("x")), "no connection within 5 s (tried 6 times)", False),
        (Mishap(error=httpx.ProxyError("x")), "the proxy refused (tried 6 times)", False),
        (Mishap(error=httpx.ReadTimeout("x")), "no answer within 30 s (tried 6 times)", True),
        (Mishap(error=TimeoutError()), "no complete answer within 120 s (tried 6 times)", True),
        (Mishap(error=httpx.ReadError("x")), "the connection broke off (tried 6 times)", True),
        (Mishap(error=RuntimeError("x")), "unexpected RuntimeError", True),
        (Mishap(503, content="<html>\n<b>"), "503 <html> <b> (tried 6 times)", True),
        (Mishap(501), "501", True),
        (Mishap(200), "200, but no answer that GitHub gives", True),
        (Mishap(400, content='{"message": "no\\u001b[1m"}'), r"400 no\x1b[1m", False),
        (Mishap(413, content="[]"), "413 []", False),
    ],
)
def test_what_does_not_pass_is_told_and_whether_the_secret_may_be_there(
    world: World,
    mishap: Mishap,
    words: str,
    uncertain: bool,  # noqa: FBT001  # a column of the table
) -> None:
    world.way.expect("PUT", *[mishap] * 6)
    error = world.failure(world.repository())
    verb = "may not be in" if uncertain else "was not stored in"
    assert str(error) == f"NAGA_API {verb} acme/api: {words}"
    assert error.uncertain is uncertain
    assert LEAK not in everything_shown(error)
    assert TOKEN not in everything_shown(error)


def test_a_lost_answer_is_not_forgotten_when_the_last_attempt_is_refused(world: World) -> None:
    world.way.expect("PUT", Mishap(502, after=True), Mishap(403, content='{"message": "no"}'))
    assert world.failure(world.repository()).uncertain


def test_an_answer_that_quotes_the_token_does_not_show_it(world: World) -> None:
    world.way.expect("PUT", Mishap(400, content=f'{{"message": "Bearer {TOKEN}"}}'))
    error = world.failure(world.repository())
    assert TOKEN not in everything_shown(error)
    assert str(error).endswith("400 Bearer <secret>")


def test_an_answer_without_end_is_cut_off(world: World) -> None:
    world.way.expect("PUT", Mishap(400, content="x" * 5_000_000))
    assert len(str(world.failure(world.repository()))) < 400


# --- limits -----------------------------------------------------------------------------------------------------------

DATE = "Sun, 22 Nov 2026 12:00:00 GMT"
NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())


def spent(seconds: int, status: int = 403) -> Mishap:
    headers = {"Date": DATE, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(NOON + seconds)}
    return Mishap(status, headers, '{"message": "API rate limit exceeded"}')


@pytest.mark.parametrize(
    ("mishap", "seconds"),
    [
        (Mishap(429, {"Retry-After": "30"}), 30),
        (Mishap(403, {"Retry-After": "45"}), 45),
        (Mishap(429, {"Date": DATE, "Retry-After": "Sun, 22 Nov 2026 12:00:20 GMT"}), 20),
        (Mishap(429, {"Date": DATE, "Retry-After": "Sun, 22 Nov 2026 12:00:20 -0000"}), 20),
        (Mishap(429, {"Date": DATE, "Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}), 0.375),
        (spent(200), 200),
        (spent(-5), 1),
        (spent(200, 429), 200),
        (Mishap(403, content='{"message": "You have exceeded a secondary rate limit."}'), 60),
        (Mishap(429), 60),
    ],
)
def test_a_limit_is_waited_for_as_long_as_github_asks(world: World, mishap: Mishap, seconds: float) -> None:
    world.way.expect("PUT", mishap)
    world.deliver(world.repository())
    assert world.fake.held(REPOSITORY) == {"NAGA_API": LEAK}
    assert world.clock.seconds == pytest.approx(seconds)


def test_a_limit_holds_everybody_back(world: World) -> None:
    destination = world.repository()
    world.way.expect("PUT", Mishap(429, {"Retry-After": "30"}))

    async def run() -> list[float]:
        await destination.preflight(["NAGA_0"])
        first = asyncio.create_task(destination.deliver(secret_delivery("NAGA_0")))
        await asyncio.sleep(1)
        others = [
            asyncio.create_task(destination.deliver(secret_delivery(f"NAGA_{number}"))) for number in range(1, 20)
        ]
        await asyncio.sleep(28)
        before = asked(world, "PUT")
        await asyncio.gather(first, *others)
        return [before, asked(world, "PUT"), world.clock.seconds]

    assert world.run(run()) == [0, 20, 30]


def test_a_limit_that_nobody_can_wait_for_is_final_and_nothing_more_is_sent(world: World) -> None:
    destination = world.repository()
    world.way.expect("PUT", spent(2_400))

    async def run() -> list[BaseException | None]:
        await destination.preflight(["NAGA_0"])
        results: list[BaseException | None] = []
        for number in range(3):
            work = destination.deliver(secret_delivery(f"NAGA_{number}"))
            results += await asyncio.gather(work, return_exceptions=True)
        await asyncio.sleep(2_400)
        return results

    said = "403 API rate limit exceeded; not before 2026-11-22T12:40:00Z"
    expected = [(f"NAGA_{number} was not stored in acme/api: {said}", False) for number in range(3)]
    assert [(str(error), getattr(error, "uncertain", None)) for error in world.run(run())] == expected
    assert len([request for request in world.way.asked if request.method == "PUT"]) == 1


def test_after_a_limit_that_nobody_could_wait_for_it_goes_on(world: World) -> None:
    destination = world.repository()
    world.way.expect("PUT", spent(2_400))

    async def run() -> None:
        with pytest.raises(DestinationError):
            await destination.deliver(secret_delivery())
        await asyncio.sleep(2_400)
        await destination.deliver(secret_delivery())

    world.run(run())
    assert world.fake.held(REPOSITORY) == {"NAGA_API": LEAK}


def test_a_limit_that_never_ends_does_not_keep_the_run(world: World) -> None:
    world.way.expect("PUT", *[Mishap(429, {"Retry-After": "60"}, '{"message": "slow down"}')] * 6)
    error = world.failure(world.repository())
    assert "429 slow down (tried" in str(error)
    assert not error.uncertain
    assert world.clock.seconds <= 300


# --- what is there ----------------------------------------------------------------------------------------------------


def test_describe_tells_since_when_secrets_are_there_and_not_whose(world: World) -> None:
    destination = world.repository()
    world.deliver(destination)
    world.fake.secrets[REPOSITORY]["ODD"] = Stored("x", "2026-01-01T00:00:00Z", {})
    held = world.run(destination.describe(["NAGA_API", "NAGA_NONE"]))
    assert held == {"NAGA_API": Held(None, datetime(2026, 11, 22, 12, tzinfo=UTC))}


def test_describe_reads_as_many_pages_as_there_are(world: World) -> None:
    stored = Stored("x", "2026-01-01T00:00:00Z", {"visibility": "all"})
    world.fake.secrets[ORGANIZATION] = {f"NAGA_{number:04}": stored for number in range(250)}
    held = world.run(world.open(**ORG).describe(["NAGA_0000", "NAGA_0249", "NAGA_0250"]))
    assert sorted(held) == ["NAGA_0000", "NAGA_0249"]
    assert asked(world, "GET") == 3


def test_describe_does_not_read_for_ever(world: World) -> None:
    page = str([{"name": f"N{number}"} for number in range(100)]).replace("'", '"')
    world.way.broken = Mishap(200, content=f'{{"secrets": {page}}}')
    assert world.run(world.repository().describe(["N1"])) == {"N1": Held(None, None)}
    assert len(world.way.asked) == 20


def test_describe_says_what_it_cannot_find_out(world: World) -> None:
    world.fake.tokens[TOKEN] = Grant({})
    error = world.error(lambda: world.repository().describe(["NAGA_API"]))
    assert str(error).startswith("acme/api: what is there cannot be read: 403 Resource not accessible")


# --- the end ----------------------------------------------------------------------------------------------------------


def test_what_is_shared_is_closed_once(world: World) -> None:
    destinations = [world.repository(), world.repository(**ENV)]

    async def run() -> None:
        for each in destinations:
            await each.deliver(secret_delivery())
        await asyncio.gather(*(each.aclose() for each in destinations))
        await destinations[0].aclose()

    world.run(run())
    assert world.way.closed == 1


def test_a_destination_that_was_never_used_has_nothing_to_close(world: World) -> None:
    world.run(world.repository().aclose())
    assert world.way.closed == 0


def test_a_token_that_somebody_else_got_is_not_given_back(world: World) -> None:
    destination = world.repository()

    async def run() -> None:
        await destination.deliver(secret_delivery())
        await destination.aclose()

    world.run(run())
    assert TOKEN in world.fake.tokens
