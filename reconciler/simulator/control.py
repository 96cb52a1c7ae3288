"""The doors behind the scenes of a served simulator, which the real service does not have.

| Method and path | Body | Does |
|---|---|---|
| `POST /_simulator/travel` | `{"seconds": 86400}` | moves the account's clock |
| `POST /_simulator/faults` | `{"faults": ["* * latency=50ms"]}` | puts more faults in force |
| `DELETE /_simulator/faults` | | puts none in force |
| `POST /_simulator/usage` | `{"seed": 0, "days": 30}`, both optional | lets the keys spend |
| `GET /_simulator/requests` | | counts the requests by method and path |
| `GET /openapi.json` | | describes the API |

They ask for no credential, so only an application that listens on loopback should have them. Bodies must be sent as
`application/json`: a web page open in a browser on the same machine then cannot send one.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.errors import UsageError
from reconciler.simulator import fields, usage
from reconciler.simulator.front import http_date
from reconciler.simulator.grammar import parse_fault
from reconciler.simulator.openapi import description
from reconciler.simulator.refusal import bad_request

if TYPE_CHECKING:
    from collections import Counter

    from starlette.requests import Request

    from reconciler.simulator.faults import Fault, Faults
    from reconciler.simulator.state import State

_NO_CONTENT: Final = 204


async def _travel(request: Request) -> Response:
    account: State = request.app.state.account
    seconds = (await _body(request)).get("seconds")
    if not isinstance(seconds, Decimal):
        bad_request("seconds must be a number")
    try:
        account.travel(timedelta(seconds=float(seconds)))
    except (ValueError, OverflowError):
        bad_request("the account's clock cannot leave the years 1 to 9000")
    return JSONResponse({"now": http_date(account)})


async def _add_faults(request: Request) -> Response:
    active: Faults = request.app.state.faults
    specs = (await _body(request)).get("faults")
    if not isinstance(specs, list):
        bad_request("faults must be a list of strings")
    active.add([_fault(spec) for spec in specs])
    return Response(status_code=_NO_CONTENT)


def _fault(spec: object) -> Fault:
    try:
        return parse_fault(str(spec))
    except UsageError as error:
        bad_request(str(error))


async def _clear_faults(request: Request) -> Response:
    active: Faults = request.app.state.faults
    active.clear()
    return Response(status_code=_NO_CONTENT)


async def _spend(request: Request) -> Response:
    body = await _body(request)
    seed = _whole(body, "seed", range(2**31), 0)
    days = _whole(body, "days", range(1, usage.LONGEST_DAYS + 1), usage.LONGEST_DAYS)
    usage.generate(request.app.state.account, seed=seed, days=days)
    return Response(status_code=_NO_CONTENT)


async def _count(request: Request) -> Response:
    counter: Counter[tuple[str, str]] = request.app.state.requests
    rows = [{"method": method, "path": path, "count": number} for (method, path), number in sorted(counter.items())]
    return JSONResponse({"requests": rows})


async def _describe(_request: Request) -> Response:
    return JSONResponse(description())


ROUTES: Final = (
    Route("/_simulator/travel", _travel, methods=["POST"]),
    Route("/_simulator/faults", _add_faults, methods=["POST"]),
    Route("/_simulator/faults", _clear_faults, methods=["DELETE"]),
    Route("/_simulator/usage", _spend, methods=["POST"]),
    Route("/_simulator/requests", _count, methods=["GET"]),
    Route("/openapi.json", _describe, methods=["GET"]),
)


async def _body(request: Request) -> dict[str, object]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        bad_request("send the body as application/json")
    return fields.read_object(await request.body())


def _whole(body: dict[str, object], name: str, allowed: range, default: int) -> int:
    value = body.get(name, Decimal(default))
    if not isinstance(value, Decimal) or not allowed.start <= value < allowed.stop or value != int(value):
        bad_request(f"{name} must be a whole number from {allowed.start} to {allowed.stop - 1}")
    return int(value)
