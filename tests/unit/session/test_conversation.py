"""A coroutine without a task: what it waits for goes on with it."""

import asyncio

from dbproxy.session.conversation import PAUSE, Conversation


class Talk:
    """Notes how far it has come."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.awaited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.conversation = Conversation(self.run())

    async def run(self) -> None:
        self.said.append("begun")
        await PAUSE
        self.said.append("gone on")
        try:
            self.said.append(await self.awaited)
        except RuntimeError as error:
            self.said.append(str(error))
        except asyncio.CancelledError:
            self.said.append("cancelled")
            raise


async def test_it_goes_on_at_once():
    talk = Talk()
    talk.conversation.go_on()
    assert talk.said == ["begun"]
    talk.conversation.go_on()
    assert talk.said == ["begun", "gone on"]
    talk.awaited.set_result("answered")
    await asyncio.sleep(0)
    assert talk.said == ["begun", "gone on", "answered"]
    assert talk.conversation.over
    talk.conversation.go_on()  # somebody has not heard of it
    talk.conversation.cancel()


async def test_it_is_told_what_a_future_fails_with():
    talk = Talk()
    talk.conversation.go_on()
    talk.conversation.go_on()
    talk.awaited.set_exception(RuntimeError("lost"))
    await asyncio.sleep(0)
    assert talk.said[-1] == "lost"


async def test_cancelling_it_cancels_what_it_waits_for():
    talk = Talk()
    talk.conversation.go_on()
    talk.conversation.go_on()
    talk.conversation.cancel()
    await asyncio.sleep(0)
    assert talk.said[-1] == "cancelled"
    assert talk.awaited.cancelled()
    assert talk.conversation.over


async def test_cancelled_in_a_pause_it_ends_there():
    talk = Talk()
    talk.conversation.go_on()
    talk.conversation.cancel()
    assert talk.conversation.over
    talk.conversation.go_on()
    assert talk.said == ["begun"]


async def test_what_ends_itself_is_not_cancelled():
    said = []

    async def run() -> None:
        conversation.cancel()
        said.append("done")

    conversation = Conversation(run())
    conversation.go_on()
    assert said == ["done"]
