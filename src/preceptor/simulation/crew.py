"""Letting a crew of simulated labelers in, having them work, and checking that what they gave is there once."""

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.simulation.check import Ledger, exported
from preceptor.simulation.client import PATIENCE, Client, Watch, said
from preceptor.simulation.minds import Atlas, Chance, Mind, payload
from preceptor.simulation.report import Report

SIGN_INS_AT_ONCE = 4  # each costs the server a password hash
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Simulation:
    """What is asked of the crew."""

    url: str
    admin: str
    password: str  # the admin's; those of the crew are made from it
    invitation: str | None = None  # make the admin first
    labelers: int = 10
    gold: Path | None = None  # of the atlas world by which they judge; None: at random
    queue: str | None = None
    tasks: int | None = None  # judgements in all; None: until nothing is left
    think: float = 0.0  # seconds on each task
    wait: float = 0.0  # seconds to wait for (more) work
    seed: int = 0


@dataclass
class _Work:
    """What the crew shares while it works."""

    plan: Simulation
    mind: Mind
    watch: Watch = field(default_factory=Watch)
    ledger: Ledger = field(default_factory=Ledger)
    begun: int = 0  # tasks taken on, of plan.tasks
    refused: list[str] = field(default_factory=list)


def simulate(plan: Simulation, stop: Callable[[], bool] = lambda: False) -> Report:
    """Have the crew work until nothing is left (or ``stop`` says so), then check the server's export.

    :class:`InputError` if the server cannot be reached or refuses the admin.
    """
    return asyncio.run(_simulate(plan, stop))


async def _simulate(plan: Simulation, stop: Callable[[], bool]) -> Report:
    mind: Mind = Chance(plan.seed) if plan.gold is None else Atlas(plan.gold, plan.seed)
    work = _Work(plan, mind)
    async with Client(plan.url, Watch(), patience=0.0) as admin:
        await _admin(plan, admin)
        admin.patience = PATIENCE
        before = await exported(admin)
        names = [f"labeler-{number:02d}" for number in range(1, plan.labelers + 1)]
        crew = await _let_in(plan, admin, names)
        try:
            begun = time.monotonic()
            await asyncio.gather(*(_labor(work, name, client, stop) for name, client in crew.items()))
            seconds = time.monotonic() - begun
        finally:
            for client in crew.values():
                await client.__aexit__(None, None, None)
        after = await exported(admin)
    return Report.of(work.watch, work.ledger, before, after, seconds, work.refused)


async def _admin(plan: Simulation, admin: Client) -> None:
    if plan.invitation is not None:
        account = {"token": plan.invitation, "name": plan.admin, "password": plan.password}
        session = await admin.come_in("/api/invitation/accept", account)
    else:
        session = await admin.come_in("/api/session", {"name": plan.admin, "password": plan.password})
    if session["person"]["role"] != "admin":
        raise InputError(f"--admin {plan.admin}: is no admin there; name one")


async def _let_in(plan: Simulation, admin: Client, names: list[str]) -> dict[str, Client]:
    """Sign everybody in; whoever has no account yet is invited, and said to be simulated."""
    there = {row["name"] for row in (await admin.call("GET", "/api/admin/people"))["people"]}
    at_once = asyncio.Semaphore(SIGN_INS_AT_ONCE)
    quiet = Watch()  # coming in is not what is measured

    async def come(name: str) -> Client:
        """Sign one in, with an account made first where there is none."""
        client = Client(plan.url, quiet)
        password = hmac.new(plan.password.encode(), name.encode(), "sha256").hexdigest()
        async with at_once:
            if name in there:
                await client.come_in("/api/session", {"name": name, "password": password})
                return client
            invitation = await admin.call("POST", "/api/admin/invitations", {"note": "simulated", "days": 1})
            account = {"token": invitation["token"], "name": name, "password": password}
            session = await client.come_in("/api/invitation/accept", account)
            number = session["person"]["id"]
            await admin.call("PATCH", f"/api/admin/people/{number}", {"kind": "simulated"})
            return client

    clients = await asyncio.gather(*(come(name) for name in names))
    return dict(zip(names, clients, strict=True))


async def _labor(work: _Work, name: str, client: Client, stop: Callable[[], bool]) -> None:
    """One labeler's day."""
    plan = work.plan
    client.measure(work.watch)
    idle_since: float | None = None
    while not stop() and (plan.tasks is None or work.begun < plan.tasks):
        work.begun += 1
        answer = await client.ask("POST", "/api/tasks/next", {"queue": plan.queue})
        if answer.status_code == 404 and plan.queue is not None and plan.wait > 0:
            found = None  # the queue may be on its way
        elif not answer.is_success:
            work.refused.append(f"next: {answer.status_code}, {said(answer)}")
            return
        else:
            found = answer.json()["task"]
        if found is None:
            work.begun -= 1
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since >= plan.wait:
                return
            await asyncio.sleep(POLL_SECONDS)
            continue
        idle_since = None
        await _do(work, name, client, found)


async def _do(work: _Work, name: str, client: Client, task: dict[str, Any]) -> None:
    """Think about a task and hand it in, sending again with the same key until there is an answer."""
    begun = time.monotonic()
    given = payload(work.mind, name, task)
    if work.plan.think:
        await asyncio.sleep(work.plan.think)
    assignment = task["assignment"]
    body = {"payload": given, "seconds": time.monotonic() - begun, "key": f"simulated-{assignment}"}
    path = "/api/tasks/{assignment}/submit"
    answer = await client.ask("POST", path.format(assignment=assignment), body, path)
    if answer.is_success:
        work.ledger.acknowledged(task, given, answer.json())
    else:
        work.refused.append(f"submit: {answer.status_code}, {said(answer)}")
