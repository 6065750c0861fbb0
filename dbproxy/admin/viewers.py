"""Those who look at the page: each gets what is new once a second, written down once for all of them.

By server-sent events. There are at most MOST; one who does not read for PATIENCE seconds is dropped, one who was late
gets everything anew, so that nothing is queued for anybody.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

MOST = 16
PATIENCE = 5.0  # seconds
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # of proxies between us
}


class Viewers:
    """`publish` and `close`; `show` is the handler. `look` publishes at once, for somebody who has just come."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look
        self.looking = 0  # how many
        self.number = 0  # of what was published last
        self.news = b""
        self.whole = b""
        self.turn = asyncio.Event()
        self.closed = False
        self.dropped = 0  # since start

    def publish(self, news: str, whole: str) -> None:
        """`news` is for those who have got what was published before, `whole` for all others."""
        self.number += 1
        self.news, self.whole = write_message("news", news), write_message("whole", whole)
        turn, self.turn = self.turn, asyncio.Event()
        turn.set()

    def close(self) -> None:
        self.closed = True
        self.turn.set()

    async def show(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return web.Response(status=403, text="only for the page of this proxy\n")
        if self.looking >= MOST:
            text = f"{MOST} others are looking: close one of their windows\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "5"})
        self.looking += 1
        try:
            return await self.feed(request)
        finally:
            self.looking -= 1

    async def feed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        if self.looking == 1:  # else what was published last is a second old at most
            self.look()
        seen = -1
        try:
            while not self.closed:
                turn, late = self.turn, seen != self.number - 1
                seen = self.number
                async with asyncio.timeout(PATIENCE):
                    await response.write(self.whole if late else self.news)
                if seen == self.number:
                    await turn.wait()
        except TimeoutError:
            self.dropped += 1
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:  # has gone
            pass
        return response


def write_message(name: str, data: str) -> bytes:
    """A server-sent event; `data` is JSON in one line."""
    return f"event: {name}\ndata: {data}\n\n".encode()
