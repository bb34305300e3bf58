"""Errors of all pages but the hot path's, in OpenAI's shape."""

import logging

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError, Internal, MethodNotAllowed, NotFound

logger = logging.getLogger(__name__)

METHOD_NOT_ALLOWED = 405


def handle(pages: FastAPI) -> None:
    """Answer whatever goes wrong on these pages."""
    pages.add_exception_handler(GatewayError, _on_gateway_error)
    pages.add_exception_handler(HTTPException, _on_http_exception)
    pages.add_exception_handler(Exception, _on_bug)


def _rendered(error: GatewayError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


async def _on_gateway_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)
    return _rendered(error)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    if error.status_code == METHOD_NOT_ALLOWED:
        allowed = dict(error.headers or {})
        said = f"{where} is not allowed; allowed: {allowed.get('Allow', 'other methods')}"
        return _rendered(MethodNotAllowed(said, headers=allowed))
    said = f"there is no {where}; see /docs for what there is"
    if request.url.path == "/v1/responses":
        said = "the Responses API is not served; use /v1/chat/completions"
    return _rendered(NotFound(said, code="unknown_url"))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _rendered(Internal("an internal error; the log has more"))
