"""Files in and out: uploads of JSONL, downloads of the documented formats."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from preceptor.errors import InputError
from preceptor.feedback.app.access import Admin, StoreOf
from preceptor.feedback.app.parameters import NO_CONTROLS, QueueName
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.app.slowly import run_slowly
from preceptor.feedback.app.uploads import UPLOADS, take_in
from preceptor.feedback.store import Store
from preceptor.feedback.store.audited import record
from preceptor.feedback.store.export import Exported, ExportRows
from preceptor.feedback.store.settings import setting
from preceptor.feedback.tasks import queue as overview
from preceptor.feedback.tasks.items import Added

router = APIRouter(prefix="/api/admin", tags=["files"], route_class=Route)
BLOCK = 64 << 10  # characters that are sent at once
JSONL = {"application/jsonl": {"schema": {"type": "string"}}}
FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "/import",
    response_model=Added,
    openapi_extra={"requestBody": {"required": True, "content": FILE}},
)
async def upload(
    request: Request,
    store: StoreOf,
    me: Admin,
    what: Annotated[str, Query(pattern="^(" + "|".join(UPLOADS) + ")$")],
    queue: QueueName = None,
    file: Annotated[str, Query(max_length=200, pattern=NO_CONTROLS)] = "upload.jsonl",
    priority: Annotated[int, Query(ge=-1_000_000, le=1_000_000)] = 0,
    demonstrations: bool = False,
) -> Response:
    """Take in a JSONL file, sent as the body. A bad line is refused by its number, before anything is written."""
    with tempfile.TemporaryDirectory(prefix="preceptor-upload-") as directory:
        path = Path(directory) / "upload.jsonl"
        with path.open("wb") as kept:
            async for chunk in request.stream():
                kept.write(chunk)

        def work() -> Added:
            try:
                return take_in(store, path, what, queue=queue, priority=priority, demonstrations=demonstrations)
            except InputError as error:
                # The same kind of error, which has its status; the browser's name of the file instead of ours.
                raise type(error)(str(error).replace(str(path), file or "upload.jsonl")) from None

        added = await run_slowly(work)
        await run_slowly(_written_down, store, me.id, what, queue, added)
    return reply(added)


@router.get("/export/{what}", response_class=StreamingResponse, responses={200: {"content": JSONL}})
def download(store: StoreOf, me: Admin, what: Exported, queue: QueueName = None) -> Response:
    """What counts now, as JSONL, people under pseudonyms; a line at a time, however much it is."""
    if queue is not None:
        overview(store, queue)
    with store.reading() as connection:
        key = setting(connection, "pseudonym_key")
    record(store, me.id, "export", what=what, queue=queue)
    rows: Iterator[BaseModel] = getattr(ExportRows(store, key, queue), what)()
    headers = {"Content-Disposition": f'attachment; filename="{what}.jsonl"'}
    return StreamingResponse(_blocks(rows), media_type="application/jsonl", headers=headers)


def _blocks(rows: Iterator[BaseModel]) -> Iterator[str]:
    """Lines, many at once: each block costs a change of thread."""
    lines: list[str] = []
    size = 0
    for row in rows:
        line = row.model_dump_json(exclude_none=True) + "\n"
        lines.append(line)
        size += len(line)
        if size >= BLOCK:
            yield "".join(lines)
            lines, size = [], 0
    yield "".join(lines)


def _written_down(store: Store, by: int, what: str, queue: str | None, added: Added) -> None:
    record(store, by, "import", what=what, queue=queue, added=added.added)
