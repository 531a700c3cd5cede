"""The console in the browser: who gets in and who does not, and a search driven by keys there."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from typer.testing import CliRunner

from lcsearch.engine.client.home import create
from lcsearch.sessions.records import DataSource, Setup
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app
from lcsearch.tui.serve import ConsoleServer, NotServed, bind

from .conftest import PATIENCE, need
from .sessions_for_tests import filled_store


@pytest.fixture
async def served() -> AsyncIterator[ConsoleServer]:
    """A server whose console is a program that says one word of the protocol, and waits."""
    program = (
        "import sys,time;o=sys.stdout.buffer;o.write(b'__GANGLION__\\n');"
        "d=b'hello from the console';o.write(b'D'+len(d).to_bytes(4,'big')+d);o.flush();"
        "sys.stdin.buffer.read(1)"
    )
    listener = bind("127.0.0.1", 0)
    found = ConsoleServer([sys.executable, "-c", program], listener, "the-secret")
    runner = web.AppRunner(await found._make_app())
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield found
    await runner.cleanup()


async def status(server: ConsoleServer, path: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{server.at}{path}", headers=headers) as answer,
    ):
        return answer.status


WEBSOCKET = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
}  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/", "/the-secre/", "/the-secret2/", "/static/js/textual.js", "/x/static/js/textual.js", "/ws",
     "/x/ws", "//the-secret/", "/download/../the-secret2/"],
)  # fmt: skip
async def test_without_the_token_nothing_answers(served: ConsoleServer, path: str) -> None:
    assert await status(served, path) in (403, 404)
    own = f"http://{served.at}"
    assert await status(served, path, Origin=own, **WEBSOCKET) in (403, 404)


@pytest.mark.parametrize("path", ["/the-secret/", "/the-secret/static/js/textual.js"])
async def test_with_the_token_page_and_script_come(served: ConsoleServer, path: str) -> None:
    assert await status(served, path) == 200
    assert await status(served, path, Origin=f"http://{served.at}") == 200


@pytest.mark.parametrize("path", ["/the-secret/", "/the-secret/static/js/textual.js"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
async def test_another_host_or_origin_is_refused(
    served: ConsoleServer, path: str, headers: dict[str, str]
) -> None:
    assert await status(served, path, **headers) == 403


async def test_a_websocket_wants_token_origin_and_host(served: ConsoleServer) -> None:
    address = f"ws://{served.at}/the-secret/ws"
    own = f"http://{served.at}"
    async with aiohttp.ClientSession() as client:
        async with client.ws_connect(address, origin=own) as tab:
            assert (await tab.receive(60)).data == b"hello from the console"
        kinds: tuple[dict[str, Any], ...] = (
            {"origin": "http://evil.example"},
            {"origin": None},
            {"origin": own, "headers": {"Host": "evil.example"}},
        )
        for kind in kinds:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(address, **kind)
            assert refused.value.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.ws_connect(f"ws://{served.at}/other/ws", origin=own)


async def test_several_tabs_each_have_a_console_and_a_dead_one_is_closed(
    served: ConsoleServer,
) -> None:
    own = f"http://{served.at}"
    async with aiohttp.ClientSession() as client:
        tabs = [
            await client.ws_connect(f"ws://{served.at}/the-secret/ws", origin=own) for _ in range(3)
        ]
        for tab in tabs:
            assert (await tab.receive(60)).data == b"hello from the console"
        # a key ends the program: its tab is told, the others stay
        await tabs[0].send_json(["stdin", "q"])
        assert (await tabs[0].receive(60)).type is aiohttp.WSMsgType.CLOSE
        # what no script of ours sends ends the tab that sent it
        await tabs[1].send_str("{not json")
        assert (await tabs[1].receive(60)).type is aiohttp.WSMsgType.CLOSE
        assert not tabs[2].closed
        await tabs[2].close()


async def test_the_page_asks_nobody_else(served: ConsoleServer) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{served.at}/the-secret/") as answer,
    ):
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert not re.search(r"(src|href)=\"?(https?:)?//", page)
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "lcsearch"])
def test_only_loopback_is_listened_on(host: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--host", host])
    assert done.exit_code == 2
    assert "Use 127.0.0.1" in done.stderr


def test_a_taken_port_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotServed, match=rf"--port {port}: .*--port 0"):
            bind("127.0.0.1", port)


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lcsearch.tui.serve", None)
    done = CliRunner().invoke(app, ["serve"])
    assert done.exit_code == 1
    assert "pip install 'lcsearch[web]'" in done.stderr


def start(home: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """`lcsearch serve` as a user starts it, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lcsearch.tui.cli", "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "LCSEARCH_HOME": str(home), "LCSEARCH_IDLE_SECONDS": "1"},
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


async def test_q_closes_the_tab_and_a_killed_server_leaves_no_console_behind(home: Path) -> None:
    filled_store(home, 1).close()
    process, address = start(home)
    try:
        async with aiohttp.ClientSession() as client:
            where = address.replace("http", "ws", 1) + "ws?width=80&height=24"
            own = address.rsplit("/", 2)[0]
            async with client.ws_connect(where, origin=own) as tab:
                await seen(tab, "Sessions")
                await tab.send_json(["stdin", "q"])
                while (await tab.receive(PATIENCE)).type is not aiohttp.WSMsgType.CLOSE:
                    pass
            before = set(children(process.pid))  # the first console may still be on its way out
            async with client.ws_connect(where, origin=own) as tab:
                await seen(tab, "Sessions")
                (console,) = set(children(process.pid)) - before
                process.kill()
                deadline = time.monotonic() + PATIENCE
                while Path(f"/proc/{console}").exists():
                    state = Path(f"/proc/{console}/stat").read_text().split()[2]
                    if state == "Z":
                        break
                    assert time.monotonic() < deadline, "the console outlives its server"
                    await asyncio.sleep(0.1)
    finally:
        process.kill()
        process.wait()


async def seen(tab: aiohttp.ClientWebSocketResponse, words: str) -> None:
    """Until these words were written on the screen."""
    text = ""
    while words not in text:
        message = await tab.receive(PATIENCE)
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        if message.type is aiohttp.WSMsgType.BINARY:
            text += message.data.decode(errors="replace")


# -- in a browser ---------------------------------------------------------------------------------


class Browser:
    """Headless Chromium by its DevTools protocol: one page, what it asked for and what it saw."""

    def __init__(self, tab: aiohttp.ClientWebSocketResponse) -> None:
        self.tab = tab
        self.count = 0
        self.asked: list[str] = []
        self.screen = ""

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self.count += 1
        number = self.count
        await self.tab.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self.receive(PATIENCE)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def receive(self, patience: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self.tab.receive(patience)).data)
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            case "Network.webSocketCreated":
                self.asked.append(message["params"]["url"])
            case "Network.webSocketFrameReceived":
                frame = message["params"]["response"]
                if frame["opcode"] == 2:
                    text = base64.b64decode(frame["payloadData"]).decode(errors="replace")
                    self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return message

    async def until(self, words: str) -> None:
        """Wait until these words came to the screen after what was seen before."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.screen:
            assert time.monotonic() < deadline, f"{words!r} did not come: {self.screen[-2000:]}"
            await self.receive(PATIENCE)
        self.screen = ""

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else ""
            )


async def test_open_accept_and_see_it_train_in_chromium(home: Path, tmp_path: Path) -> None:
    chromium = need("chromium")
    folder = create(
        home,
        Setup(
            name="web",
            data=DataSource(spec="digits"),
            epochs=20,  # so long that its epochs are seen
            domains={"conv_layers": "2", "channels": "8"},
            measure="macs",
        ),
    )
    server, address = start(home, "web")
    profile = tmp_path / "profile"
    browser = subprocess.Popen(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
         "--window-size=1400,900", f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        port = await port_of(profile)
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [p for p in await answer.json() if p["type"] == "page"]
            where = pages[0]["webSocketDebuggerUrl"]
            async with client.ws_connect(where, max_msg_size=0) as tab:
                page = Browser(tab)
                await page.call("Network.enable")
                await page.call("Page.enable")
                await page.call("Page.navigate", url=address)
                await page.until("ranked in")
                await page.press("a")
                await page.until("is queued")
                await page.until("/20")
                await page.until("last: trial 1")
                picture = await page.call("Page.captureScreenshot")
                await done(folder, 1)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        server.kill()
        server.wait()
    own = address.rsplit("/", 2)[0].removeprefix("http")
    assert page.asked
    foreign = [u for u in page.asked if not u.startswith((f"http{own}", f"ws{own}", "data:"))]
    assert foreign == []
    drawn = base64.b64decode(picture["data"])
    assert drawn.startswith(b"\x89PNG")
    if keep := os.environ.get("LCSEARCH_KEEP_PICTURE"):
        Path(keep).write_bytes(drawn)
    decision = Store(folder).refresh().decisions[0]
    assert (decision.kind, decision.by, decision.trial) == ("accept", "person", 1)


async def port_of(profile: Path) -> int:
    """The port of a Chromium that has just been started."""
    deadline = time.monotonic() + PATIENCE
    file = profile / "DevToolsActivePort"
    while not (file.is_file() and file.read_text().count("\n")):
        assert time.monotonic() < deadline, "Chromium does not start"
        await asyncio.sleep(0.1)
    return int(file.read_text().splitlines()[0])


async def done(folder: Path, number: int) -> None:
    """Until a trial was trained to its end."""
    store = Store(folder)
    deadline = time.monotonic() + PATIENCE
    while True:
        trials = store.refresh().trials
        if len(trials) > number and trials[number].state == "done":
            return
        assert time.monotonic() < deadline, [(t.number, t.state) for t in trials]
        await asyncio.sleep(0.1)
