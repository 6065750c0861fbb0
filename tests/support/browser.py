"""Headless Chromium, driven by its DevTools protocol: opens a page, presses keys, runs JavaScript, takes pictures."""

import asyncio
import json
import os
import shutil
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
START_TIMEOUT, PATIENCE = 60.0, 30.0
FLAGS = (
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page. What the console, the Content-Security-Policy and exceptions complain about is in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbers = count(1)
        self.answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []

    async def read(self) -> None:
        async for message in self.socket:
            told = json.loads(message.data)
            if "id" in told:
                self.answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.complaints.append(told["params"]["entry"]["text"])

    async def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        answer = self.answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            told = await answer
        assert "error" not in told, f"{method}: {told['error']}"
        return told["result"]

    async def open(self, url: str) -> None:
        """Returns once its script has run."""
        await self.order("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def run(self, expression: str) -> Any:
        """The value of this JavaScript, awaited."""
        told = await self.order(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Its value, once that JavaScript is true."""
        async with asyncio.timeout(PATIENCE):
            while not (value := await self.run(condition)):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        return value

    async def press(self, key: str) -> None:
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39}
        told = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        await self.order("Input.dispatchKeyEvent", type="keyDown", text=text, **told)
        await self.order("Input.dispatchKeyEvent", type="keyUp", **told)

    async def type(self, text: str) -> None:
        await self.order("Input.insertText", text=text)

    async def dress(self, width: int, height: int, *, dark: bool = False, scale: float = 1.0) -> None:
        """The screen, and which colours its user prefers."""
        await self.order(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.order("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path, *, whole: bool) -> None:
        """As PNG; `whole`: also what is below the screen."""
        told = await self.order("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, b64decode(told["data"]))


@asynccontextmanager
async def open_browser() -> AsyncIterator[Tab]:
    """One with an empty page."""
    assert CHROMIUM is not None
    folder = Path(tempfile.mkdtemp(prefix="dbproxy-chromium-"))
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, *sandbox, f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        env=environment(folder),
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as client:
            address = await find_tab(client, folder / "DevToolsActivePort")
            async with client.ws_connect(address, max_msg_size=0) as socket:
                tab = Tab(socket)
                reader = asyncio.create_task(tab.read())
                for domain in ("Page", "Runtime", "Log"):
                    await tab.order(f"{domain}.enable")
                yield tab
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
    finally:
        process.terminate()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path) -> Mapping[str, str]:
    return {**os.environ, "HOME": str(folder), "TZ": "UTC"}


async def find_tab(client: aiohttp.ClientSession, port_file: Path) -> str:
    """The address of its first page's socket, once it is there."""
    async with asyncio.timeout(START_TIMEOUT):
        while not (found := await look(client, port_file)):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
    return found


async def look(client: aiohttp.ClientSession, port_file: Path) -> str:
    lines = (
        (await asyncio.to_thread(port_file.read_text)).split()
        if await asyncio.to_thread(port_file.exists)
        else []
    )
    if not lines:
        return ""
    async with client.get(f"http://127.0.0.1:{lines[0]}/json") as answer:
        pages = [page for page in await answer.json() if page["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"]) if pages else ""
