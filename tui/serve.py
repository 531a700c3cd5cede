"""The console in a browser on this machine: textual-serve behind a secret address.

Whoever reaches the console acts as the person who started it.  So it listens on loopback only; the
address holds a random token, without which neither page nor websocket answers (another user of the
machine can connect, but not guess); Host and Origin are checked, so that a web page that the same
browser has open gets nowhere, not even by a name that it points at this machine.  The token is in
the path and not in a cookie: cookies go to every port of a host, whoever listens there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import textual_serve
from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

TOKEN_BYTES = 32
SHUTDOWN_SECONDS = 3.0
"""How long tabs may take to close when the server goes; their consoles see that it is gone."""
MOST_CELLS = 1000
"""Columns and rows that a browser may ask for."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing is asked of any other machine."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NotServed(Exception):
    """The console cannot be served as asked; the message is fit for its user."""


def bind(host: str, port: int) -> socket.socket:
    """Listen on loopback.  Raises NotServed for an address that others reach, or a taken port."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NotServed(
            f"--host {host}: others could reach it, and whoever reaches the console acts as you. "
            "Use 127.0.0.1, and from another machine `ssh -L`."
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise NotServed(
            f"--port {port}: cannot be listened on ({error.strerror}). --port 0 takes a free one."
        ) from error


class ConsoleServer(Server):
    """Serves one console to each tab that knows the token."""

    def __init__(self, command: list[str], listener: socket.socket, token: str) -> None:
        """command: what starts a console.  listener: a bound socket."""
        # without a shell between us, the console sees at once when we are gone
        super().__init__(f"exec {shlex.join(command)}", title="lcsearch")
        address, port, *_ = listener.getsockname()
        self.listener = listener
        self.token = token
        self.at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.hosts = frozenset({self.at, f"localhost:{port}"})
        self.statics_path = Path(textual_serve.__file__).parent / "static"
        files = resources.files(__package__)
        self._script = files.joinpath("serve.js").read_text(encoding="utf-8")
        self._template = jinja2.Environment(autoescape=True).from_string(
            files.joinpath("serve.html").read_text(encoding="utf-8")
        )

    @property
    def address(self) -> str:
        """What to open: it is a secret."""
        return f"http://{self.at}/{self.token}/"

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        with contextlib.suppress(web.GracefulExit):
            web.run_app(
                self._make_app(),
                sock=self.listener,
                access_log=None,
                print=lambda *_: None,
                shutdown_timeout=SHUTDOWN_SECONDS,
            )

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get(f"/{self.token}/", self.handle_index),
                web.get(f"/{self.token}/serve.js", self.handle_script),
                web.get(f"/{self.token}/ws", self.handle_websocket),
                web.static(f"/{self.token}/static", self.statics_path),
                # its key is a secret of its own, and textual-serve's script asks for it here
                web.get("/download/{key}", self.handle_download),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse who is no tab of ours: by Host, by Origin, by the token."""
        origin = request.headers.get("Origin")
        socket_wanted = request.headers.get("Upgrade", "").lower() == "websocket"
        allowed = {f"http://{host}" for host in self.hosts}
        first = request.path.split("/")[1]
        known = hmac.compare_digest(first.encode(), self.token.encode()) or first == "download"
        if (
            request.headers.get("Host") not in self.hosts
            or (origin is not None and origin not in allowed)
            or (socket_wanted and origin is None)
            or not known
        ):
            response: web.StreamResponse = web.Response(
                status=403, text="Open the address that `lcsearch serve` has printed.\n"
            )
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(self._headers(request))
                raise
        if not response.prepared:
            response.headers.update(self._headers(request))
        return response

    def _headers(self, request: web.Request) -> dict[str, str]:
        return {
            "Content-Security-Policy": POLICY.format(host=self.at),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def handle_index(self, request: web.Request) -> Any:
        """The page of a console."""
        html = self._template.render(
            websocket=f"ws://{request.host}/{self.token}/ws",
            font_size=min(max(to_int(request.query.get("fontsize", "16"), 16), 6), 60),
        )
        return web.Response(text=html, content_type="text/html")

    async def handle_script(self, request: web.Request) -> web.Response:
        """What the page does besides textual-serve's script."""
        return web.Response(text=self._script, content_type="text/javascript")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One tab: a console of its own, which ends with the tab, and the tab with it."""
        websocket = web.WebSocketResponse(heartbeat=15)
        await websocket.prepare(request)

        async def close() -> None:
            await websocket.close()

        service = AppService(
            self.command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=self.download_manager,
        )
        width, height = (
            min(max(to_int(request.query.get(name, ""), usual), 1), MOST_CELLS)
            for name, usual in (("width", 80), ("height", 24))
        )
        await service.start(width, height)
        watch = asyncio.create_task(_close_after(service, close))
        try:
            await self._process_messages(websocket, service)
        except (ValueError, LookupError, TypeError, AssertionError, ConnectionError):
            # not what textual-serve's script sends: that tab is over
            await websocket.close()
        finally:
            watch.cancel()
            await service.stop()
            await _ended(service)
        return websocket


async def _ended(service: AppService) -> None:
    """Wait for a console that was told to go; one that does not go is made to."""
    process = service._process
    assert process is not None
    try:
        await asyncio.wait_for(process.wait(), SHUTDOWN_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _close_after(service: AppService, close: Callable[[], Awaitable[None]]) -> None:
    """A console that has died leaves no tab with a picture of it."""
    process = service._process
    assert process is not None
    await process.wait()
    # what it said last is still on its way
    await asyncio.sleep(0.5)
    await close()


def server(host: str, port: int, name: str | None) -> ConsoleServer:
    """A server for the console, at its sessions or at one of them.  Raises NotServed."""
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "tui"]
    if name is not None:
        command.append(name)
    return ConsoleServer(command, bind(host, port), secrets.token_urlsafe(TOKEN_BYTES))
