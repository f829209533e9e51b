"""The API's description, the page that shows it without the internet, and the sign of life."""

from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Redirect
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler
from sqlalchemy import text

from server.identity.principals import PUBLIC
from server.runtime.database import Database
from server.web.description import described

API_VERSION: Final = "1"
_STATIC: Final = Path(__file__).parent / "static"
_PAGE: Final = (_STATIC / "docs.html").read_bytes()
_SCRIPT: Final = (_STATIC / "rapidoc-min.js").read_bytes()
# The browser itself keeps the page from asking anybody else for anything.
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Health(msgspec.Struct, frozen=True):
    status: str


class _OwnPages(Router):
    """Where Litestar would put its pages for the schema. Ours are below, so nothing is registered here."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:  # noqa: ARG002  # Litestar's signature
        return []


def openapi_config() -> OpenAPIConfig:
    """How the API describes itself. Every route but the public ones takes a bearer token."""
    return OpenAPIConfig(
        title="Roadbook",
        version=API_VERSION,
        description=(
            "Order management for companies that sell to other companies. Sign in at `POST /session` and send the token as "
            "`Authorization: Bearer <token>`. Every error is problem details (RFC 9457) with a stable `code`."
        ),
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
        use_handler_docstrings=True,
        openapi_router=_OwnPages(path="/", route_handlers=[]),
        render_plugins=[JsonRenderPlugin()],
    )


@get("/", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def root() -> Redirect:
    return Redirect("/docs")


@get("/docs", opt=PUBLIC, include_in_schema=False, sync_to_thread=False, media_type="text/html")
def docs() -> Response[bytes]:
    """The API page: one file of markup and one script, both served from here."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})


@get("/docs/rapidoc-min.js", opt=PUBLIC, include_in_schema=False, sync_to_thread=False, media_type="text/javascript")
def docs_script() -> Response[bytes]:
    return Response(_SCRIPT, media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"})


@get("/openapi.json", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """The API's description, OpenAPI 3.1."""
    return Response(described(request.app), media_type="application/json")


@get("/healthz", opt=PUBLIC, summary="Sign of life", tags=["operation"], security=[{}])
async def health(database: NamedDependency[Database]) -> Health:
    """Answers when the process and its database do."""
    async with database.read() as session:
        await session.execute(text("SELECT 1"))
    return Health("ok")


ROUTES: Final = (root, docs, docs_script, openapi, health)
