"""What operators need, and what everybody may look up: keys, what was set aside, scorecards, schemas, health."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from touchbook.api import models
from touchbook.api.answers import json_answer
from touchbook.api.bodies import read_model
from touchbook.api.openapi import Described, body_of, extra, refusals_of
from touchbook.api.paths import decoded
from touchbook.api.problems import problem
from touchbook.api.seen import seen_of
from touchbook.errors import BrokerUnavailable, JournalUnavailable, Refused, mending
from touchbook.positions import token_of
from touchbook.schemas import shipped_yaml
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import Details
from touchbook.schemas.publishing import description_of, schema_of
from touchbook.schemas.times import rfc3339
from touchbook.streams.control import AccessKey
from touchbook.streams.metrics import CONTENT_TYPE
from touchbook.wiring import Book

READY_LAG = 50_000
"""Touchpoints behind the journal from which on reads are too old to be called ready."""
PROJECTIONS = ("entries", "ledger", "registers", "claims")
OK = "ok"
OF_DISKS = ("disk", "database", "No space", "full")

router = APIRouter(tags=["operators"], route_class=Described)


@router.get("/v1/set-aside", response_model=models.SetAsideList, responses=refusals_of(400, 401, 403, 422))
async def list_set_aside(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500, description="Most items in one answer.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=100, description="`next` of an earlier answer, to go on from there.")
    ] = None,
) -> Response:
    """What could not be accepted, newest first, with its reason: an admin sees all, others their own source's. A
    public key sees nothing: it sits in a web page, and these are other visitors' data. What came by an ingress topic
    says its `topic`, `partition` and `offset`."""
    key = _key(request)
    if key.public:
        raise Refused(403, "key_public", "expected a server-side key: this one sits in a web page")
    source = None if key.role == "admin" else key.source
    items, following = await run_sync(_book(request).control.list_set_aside, source, limit, cursor)
    return json_answer({"items": [item.to_json() for item in items], "next": following})


@router.post(
    "/v1/set-aside/{key}:redrive",
    response_model=models.Redriven,
    responses=refusals_of(401, 403, 404, 422, 503),
)
async def redrive(
    request: Request, key: Annotated[str, Path(description="The item's key, from GET /v1/set-aside.")]
) -> Response:
    """Tries one again, with its own id and the time it was first received. Rejected again, it stays and answers 422."""
    future = await run_sync(_book(request).admission.redrive, decoded(key))
    outcome = await asyncio.wrap_future(future)
    if outcome.outcome == "rejected":
        return problem(422, outcome.code, f"{outcome.message}; it stays set aside", set_aside=outcome.key)
    position = None if outcome.position is None else token_of(outcome.position)
    return json_answer({"outcome": outcome.outcome, "position": position, "code": None, "message": None})


@router.get(
    "/v1/scorecards",
    tags=["recommenders"],
    response_model=models.Scorecards,
    responses=refusals_of(401),
)
async def list_scorecards(request: Request) -> Response:
    """Every score there is: its parts, its components, and the reason of each."""
    return json_answer({"items": _book(request).scorecards.describe()})


@router.get("/v1/schemas", tags=["channels"], response_model=models.Schemas, responses=refusals_of(401))
async def list_schemas(request: Request) -> Response:
    """Every type of touchpoint that has a meaning here. Others are welcome: they are kept as they are."""
    return json_answer({"items": [_summary(model) for model in CATALOGUE.values()]})


@router.get(
    "/v1/schemas/{type}", tags=["channels"], response_model=models.SchemaOut, responses=refusals_of(401, 404)
)
async def read_schema(
    request: Request, type: Annotated[str, Path(description="A type's name, from GET /v1/schemas.")]
) -> Response:
    """One type: the JSON Schema of its `data`, and samples with how they read and what they count."""
    name = decoded(type)
    model = CATALOGUE.get(name)
    if model is None:
        raise Refused(404, "type_unknown", "no type has this name; GET /v1/schemas lists them all")
    samples = [sample for sample in _samples(model.family) if sample["type"] == name]
    return json_answer({**_summary(model), "json_schema": schema_of(model), "samples": samples})


@router.get("/v1/keys", response_model=models.KeyList, responses=refusals_of(401, 403))
async def list_keys(request: Request) -> Response:
    """Every access key ever made, without its secret."""
    keys = await run_sync(_book(request).control.list_keys)
    return json_answer({"items": [_shown(key) for key in keys]})


@router.post(
    "/v1/keys",
    status_code=201,
    response_model=models.NewKey,
    openapi_extra=extra(body_of(models.KeyIn)),
    responses=refusals_of(400, 401, 403, 422),
)
async def create_key(request: Request) -> Response:
    """Makes an access key. Its secret is shown here and never again."""
    wanted = await read_model(request, models.KeyIn)
    control = _book(request).control
    key, secret = await run_sync(
        control.create_key, wanted.role, wanted.source, wanted.channel, tuple(wanted.origins), wanted.name
    )
    return json_answer({**_shown(key), "key": secret}, status=201)


@router.delete("/v1/keys/{id}", response_model=models.KeyOut, responses=refusals_of(401, 403, 404))
async def revoke_key(
    request: Request, id: Annotated[str, Path(description="The key's id, from GET /v1/keys; not its secret.")]
) -> Response:
    """Revokes an access key: from now on it opens nothing."""
    return json_answer(_shown(await run_sync(_book(request).control.revoke_key, decoded(id))))


@router.get("/healthz", response_model=models.Health)
async def health(request: Request) -> Response:
    """The process is up. Whether it should be asked anything: /readyz."""
    return json_answer({"status": "up", "version": request.app.version})


@router.get("/readyz", response_model=models.Readiness, responses=refusals_of(503))
async def readiness(request: Request) -> Response:
    """The journal takes touchpoints and reads are up to date; 503 names what is not so."""
    checks = await run_sync(checks_of, _book(request))
    failed = {name: found for name, found in checks.items() if found != OK}
    if failed:
        message = "; ".join(f"{name}: {found}" for name, found in failed.items())
        return problem(503, "not_ready", message, checks=checks)
    return json_answer({"status": "ready", "checks": checks})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """What operators watch, in Prometheus' text format. received = accepted + duplicates + rejected + refused, in
    items; a refused request counts as one."""
    return Response(await run_sync(_book(request).metrics.text), headers={"Content-Type": CONTENT_TYPE})


def routes() -> list[BaseRoute]:
    """Made anew for each application: each puts its own gate before them."""
    return [copy(route) for route in router.routes]


def checks_of(book: Book) -> dict[str, str]:
    """Each thing that readiness needs: "ok", or what is wrong with it."""
    follower = book.follower
    checks = {"journal": _journal(book), "follower": OK, "lag": OK, "projections": OK}
    if follower.stopped_because is not None or not follower.alive:
        checks["follower"] = "it stands still; the log says why"
    elif follower.failing_because is not None:
        checks["follower"] = f"its store fails: {_remedy(book, follower.failing_because)}"
    if follower.lag > READY_LAG:
        checks["lag"] = f"reads are {follower.lag} touchpoints behind; expected at most {READY_LAG}"
    if book.rebuild_failed is not None:
        checks["projections"] = f"those of this version cannot be built: {mending(book.rebuild_failed)}"
    elif book.projections.version() != book.version and not book.rebuilding:
        checks["projections"] = (
            "what serves was built by another version or with other mappings; "
            "run `touchbook rebuild` with the settings of this server"
        )
    return checks


def watch(book: Book) -> None:
    """Adds the levels that are read when metrics are."""
    follower, watched = book.follower, book.metrics
    watched.watch_each(
        "lag_touchpoints",
        "Touchpoints in the journal that a projection does not show yet",
        "projection",
        lambda: dict.fromkeys(PROJECTIONS, follower.lag),
    )
    watched.watch("set_aside", "Items that are set aside now", book.control.count_set_aside)
    watched.watch(
        "unreadable", "Journal records that could not be folded since the start", lambda: follower.unreadable
    )
    watched.watch("queue_room", "Touchpoints that the journal would still take", book.journal.room)
    watched.watch(
        "watch_waiting",
        "Customers of whom lists, tiers, the feed of changes and the clock do not know the latest yet",
        lambda: book.watch.lag,
    )


def _journal(book: Book) -> str:
    try:
        if book.journal.room() <= 0:
            return "its queue is full"
    except JournalUnavailable:
        return "it takes nothing; the log says why"
    failing = book.journal.failing()
    return OK if failing is None else f"it takes nothing: {_remedy(book, failing)}"


def _remedy(book: Book, why: str) -> str:
    """What to do about it. A replica's journal is on Kafka and its follower reads from there, so only words about a
    disk or a database mean its own. The words are left to the log: they may repeat what they were about."""
    if book.settings.journal is None or any(word in why for word in OF_DISKS):
        return mending(why)
    return str(BrokerUnavailable("the log says why"))


def _shown(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "source": key.source,
        "name": key.name,
        "channel": key.channel,
        "origins": list(key.origins),
        "created_at": rfc3339(key.created_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }


def _summary(model: type[Details]) -> dict[str, Any]:
    return {
        "type": model.type,
        "family": model.family,
        "version": model.version,
        "description": description_of(model),
        "signals": list(dict.fromkeys((model.type, *model.gives))),
        "shown_to_customer": model.for_customer,
        "from_public_key": model.from_public_key,
    }


@cache
def _samples(family: str) -> tuple[Mapping[str, Any], ...]:
    file = files("touchbook.schemas") / "samples" / f"{family}.yaml"
    return tuple(shipped_yaml.read(file.read_text("utf-8")) or ())


def _book(request: Request) -> Book:
    book: Book = request.app.state.book
    return book


def _key(request: Request) -> AccessKey:
    key = seen_of(request.scope).key
    assert key is not None, "the gate lets nobody through without a key"
    return key
