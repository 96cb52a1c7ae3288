from __future__ import annotations

import asyncio
import gc
import importlib.util
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.errors import UsageError
from reconciler.installation import installing
from reconciler.simulator import State, open_transport, transport
from support.simulation import faults
from support.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

KEYS = "https://api.naga.ac/v1/account/keys"
BEARER = {"Authorization": "Bearer x"}


def in_virtual_time(story: Coroutine[Any, Any, None]) -> None:
    VirtualClock().run(story, lambda message, _: pytest.fail(message))


def test_an_account_at_a_path_lives_on_from_one_transport_to_the_next(tmp_path: Path) -> None:
    async def create() -> None:
        async with httpx.AsyncClient(transport=open_transport(tmp_path / "sim.db"), headers=BEARER) as client:
            await client.post(KEYS, json={"name": "a"})

    async def names() -> list[str]:
        async with httpx.AsyncClient(transport=open_transport(tmp_path / "sim.db"), headers=BEARER) as client:
            return [key["name"] for key in (await client.get(KEYS)).json()["keys"]]

    asyncio.run(create())
    assert asyncio.run(names()) == ["a"]


def test_the_faults_of_the_environment_are_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def status() -> int:
        async with httpx.AsyncClient(transport=open_transport(tmp_path / "sim.db"), headers=BEARER) as client:
            return (await client.get(KEYS)).status_code

    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", "noise; GET * status=503")
    assert asyncio.run(status()) == 503
    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", "nonsense")
    with pytest.raises(UsageError):
        open_transport(tmp_path / "sim.db")


def test_a_path_that_cannot_hold_an_account_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        open_transport(tmp_path)


def test_a_transport_closes_the_account_that_it_opened_once(tmp_path: Path) -> None:
    async def close_twice() -> None:
        carrier = open_transport(tmp_path / "sim.db")
        await carrier.aclose()
        await carrier.aclose()

    asyncio.run(close_twice())


def test_a_client_that_gives_up_meets_an_effect_that_comes_late() -> None:
    async def story(state: State) -> None:
        carrier = transport(state, faults("POST * latency=300s"))
        client = httpx.AsyncClient(transport=carrier, headers=BEARER)
        with pytest.raises(httpx.ReadTimeout, match="the simulator did not answer in time"):
            await client.post(KEYS, json={"name": "a"}, timeout=1)
        assert state.keys() == ()
        while not state.keys():  # noqa: ASYNC110  # the account sets no event
            await asyncio.sleep(1)
        await client.aclose()

    with State(":memory:") as state:
        in_virtual_time(story(state))


def test_an_answer_that_is_lost_after_its_client_gave_up_troubles_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def story(state: State) -> None:
        carrier = transport(state, faults("POST * latency=300s lose=after"))
        client = httpx.AsyncClient(transport=carrier, headers=BEARER)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(KEYS, json={"name": "a"}, timeout=1)
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # the late request sets no event
            await asyncio.sleep(1)
        gc.collect()
        await client.aclose()

    with State(":memory:") as state:
        in_virtual_time(story(state))
    assert caplog.records == []


def test_what_still_goes_on_ends_with_the_transport() -> None:
    async def story(state: State) -> None:
        async with httpx.AsyncClient(transport=transport(state, faults("* * latency=600s")), headers=BEARER) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(KEYS, json={"name": "a"}, timeout=1)
        assert len(asyncio.all_tasks()) == 1

    with State(":memory:") as state:
        in_virtual_time(story(state))
        assert state.keys() == ()


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(UsageError) as caught:
        open_transport(tmp_path / "sim.db")
    assert str(caught.value).endswith(f": {installing('simulator')}")
    assert not (tmp_path / "sim.db").exists()
