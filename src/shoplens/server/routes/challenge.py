"""A challenge: its site for everybody, and submissions by the tokens of teams."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response, Security
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from shoplens.challenge.registry.instants import current, to_text
from shoplens.challenge.registry.intake import Receipt
from shoplens.challenge.registry.submissions import SubmissionRecord
from shoplens.challenge.site.published_run import published
from shoplens.server.challenge import ServedChallenge
from shoplens.server.challenge_schemas import (
    SUBMISSIONS,
    ChallengeAnswer,
    ReceiptAnswer,
    SubmissionAnswer,
    SubmissionsAnswer,
)
from shoplens.server.challenge_site import ChallengeSite
from shoplens.server.problems import Problem, problem_answers
from shoplens.server.routes.answers import JsonAnswer

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The pages hold their style, and bars whose lengths are styles; no page has a script."""
_FILES = ("answer", "archive")
_FIELDS = {"label": 200, "tags": 1000}
"""The fields beside a file, and how many characters each may have."""
_OWN = problem_answers("no_token", "too_many_requests", "not_found")
_HANDING_IN = problem_answers(
    *("bad_request", "bad_answer", "bad_submission", "challenge_rule", "no_token"),
    *("body_too_large", "slow_request", "unsupported_media_type"),
    *("too_many_requests", "overloaded"),
)
_FORM = {
    "type": "object",
    "properties": {
        "answer": {
            "type": "string",
            "format": "binary",
            "description": "An answer array, as a .npy file.",
        },
        "archive": {
            "type": "string",
            "format": "binary",
            "description": "A submission's folder, as a .zip file.",
        },
        "label": {
            "type": "string",
            "description": "What to call it; by default the name of the file.",
            "examples": ["two crops"],
        },
        "tags": {
            "type": "string",
            "description": "What it uses, with commas.",
            "examples": ["external data"],
        },
    },
}

_bearer = HTTPBearer(
    scheme_name="team token", description="Authorization: Bearer TOKEN", auto_error=False
)
router = APIRouter(prefix="/v1/challenge", tags=["challenge"])
site_router = APIRouter(prefix="/challenge", include_in_schema=False)


def _challenge_of(request: Request) -> ServedChallenge:
    challenge = request.app.state.challenge
    assert isinstance(challenge, ServedChallenge)
    return challenge


async def _team(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> str:
    challenge = _challenge_of(request)
    token = None if bearer is None else bearer.credentials
    return await challenge.in_thread(lambda: challenge.team(token))


@router.get("", response_model=ChallengeAnswer, responses=problem_answers())
async def challenge(request: Request) -> JsonAnswer:
    """Say what the challenge asks for, and until when."""
    served = _challenge_of(request)
    terms, now = await served.in_thread(served.registry.terms), current()
    on = terms.round_at(now)
    return JsonAnswer(
        {
            "title": terms.title,
            "starts": to_text(terms.starts),
            "ends": to_text(terms.ends),
            "n_queries": terms.n_queries,
            "n_gallery": terms.n_gallery,
            "policy": terms.policy,
            "accepts_answers": terms.accepts_answers,
            "sealed": not terms.is_over(now),
            "round": None
            if on is None
            else {
                "name": on.name,
                "ends": to_text(on.ends),
                "per_day": on.per_day,
                "attempts_per_day": on.max_attempts,
            },
        }
    )


@router.post(
    "/submissions",
    status_code=201,
    response_model=ReceiptAnswer,
    responses=_HANDING_IN,
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    },
)
async def submit(request: Request, team: Annotated[str, Depends(_team)]) -> JsonAnswer:
    """Hand in an answer array, or a folder that is run.

    It waits in the queue then. An answer with faults is refused and does not count.
    """
    served = _challenge_of(request)
    await served.in_thread(lambda: served.require_admitted(team))
    with served.handing_in(team):
        form = await _read_form(request)
        try:
            kind, file, label, tags = _handed_in(form)

            def taken() -> Receipt:
                if kind == "archive":
                    return served.take_archive(file.file, team, label, tags)
                return served.take_answer(file.file, file.size or 0, team, label, tags)

            receipt = await served.take(taken)
        finally:
            await form.close()
    return JsonAnswer(
        {
            "submission": receipt.id,
            "round": receipt.round,
            "content": receipt.content,
            "left_today": receipt.left_today,
            "same_as": list(receipt.same_as),
        },
        status_code=201,
        headers={"Location": f"{SUBMISSIONS}/{receipt.id}"},
    )


@router.get("/submissions", response_model=SubmissionsAnswer, responses=_OWN)
async def submissions(request: Request, team: Annotated[str, Depends(_team)]) -> JsonAnswer:
    """List the submissions of your team."""
    served = _challenge_of(request)
    found = await served.in_thread(lambda: served.submissions(team))
    return JsonAnswer({"submissions": [_shown(one) for one in found]})


@router.get("/submissions/{number}", response_model=SubmissionAnswer, responses=_OWN)
async def submission(
    request: Request, team: Annotated[str, Depends(_team)], number: int = Path(ge=1, lt=2**63)
) -> JsonAnswer:
    """Show a submission of your team: whether it was run, and its public score."""
    served = _challenge_of(request)
    [found] = await served.in_thread(lambda: served.submissions(team, number))
    return JsonAnswer(_shown(found))


@site_router.get("")
async def without_slash() -> Response:
    """Lead to the site."""
    return RedirectResponse("/challenge/", status_code=308)


@site_router.get("/{name:path}")
async def site_file(request: Request, name: str) -> Response:
    """Return a file of the site."""
    site = request.app.state.challenge_site
    assert isinstance(site, ChallengeSite)
    file = await _challenge_of(request).in_thread(lambda: site.file(name or "index.html"))
    if file is None:
        raise Problem("not_found", "The challenge has no such page.")
    headers = {
        "ETag": file.etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    }
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known or f"W/{file.etag}" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.media_type, headers=headers)


async def _read_form(request: Request) -> FormData:
    """Read a form; its file goes to disk where it is large. The layers have limited the body."""
    media_type, _ = parse_options_header(request.headers.get("content-type", ""))
    if media_type.lower() != b"multipart/form-data":
        raise Problem(
            "unsupported_media_type", "Send multipart/form-data with the file answer or archive."
        )
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=len(_FIELDS)
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise Problem("bad_request", f"the form cannot be read: {error.message}") from error


def _handed_in(form: FormData) -> tuple[str, UploadFile, str, list[str]]:
    """Return the kind of file in a form, the file, its label and its tags."""
    files = [(name, one) for name, one in form.multi_items() if isinstance(one, UploadFile)]
    if len(files) != 1 or files[0][0] not in _FILES:
        raise Problem("bad_request", "Send one file: answer (.npy) or archive (.zip).")
    [(kind, file)] = files
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            if name not in _FIELDS or name in fields or len(value) > _FIELDS[name]:
                raise Problem("bad_request", f"{name[:40]!r}: the fields are label and tags, once")
            fields[name] = value
    label = fields.get("label") or PurePosixPath(file.filename or "").stem or kind
    tags = [tag for tag in map(str.strip, fields.get("tags", "").split(",")) if tag]
    return kind, file, label, tags


def _shown(one: SubmissionRecord) -> dict[str, Any]:
    """Return what a team may see of its own submission: nothing of what is sealed."""
    return {
        "submission": one.id,
        "team": one.team,
        "round": one.round,
        "label": one.label,
        "kind": one.kind,
        "content": one.content,
        "submitted": to_text(one.submitted),
        "state": one.state,
        "finished": None if one.finished is None else to_text(one.finished),
        "counted": one.counted,
        "verdict": one.verdict,
        "reason": one.reason,
        "wall_seconds": one.seconds,
        "peak_memory_mb": one.peak_memory_mb,
        "selected": one.selected,
        "tags": list(one.tags),
        "notes": [
            {"written": to_text(note.written), "author": note.author, "text": note.text}
            for note in one.notes
        ],
        "findings": [
            {"level": finding.level, "code": finding.code, "text": finding.words}
            for finding in published(one.record).findings
        ],
        "public": one.public,
        "private": one.private,
    }
