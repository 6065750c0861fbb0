"""Both sides of a login, played without sockets, counting the slow steps."""

from dataclasses import dataclass, field

from dbproxy.auth.client_login import Challenge, ClientLogin, Done
from dbproxy.auth.exchange import Work
from dbproxy.auth.server_login import ServerLogin


@dataclass
class Conversation:
    """`done` if the login succeeded, `heard` the codes of what was asked, `slow` who had Work."""

    done: Done | None = None
    heard: list[int] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def play(self, checking: ClientLogin, asking: ServerLogin) -> "Conversation":
        step = checking.start()
        while isinstance(step, Challenge):
            step = self._answer(step, checking, asking)
        if step.last:
            self._hear(step.last, asking)
        self._hear(Challenge(0), asking)
        self.done = step
        return self

    def _answer(self, challenge: Challenge, checking: ClientLogin, asking: ServerLogin) -> Challenge | Done:
        answer = self._hear(challenge, asking)
        assert answer is not None
        step = checking.receive(answer)
        if isinstance(step, Work):
            self.slow.append("checking")
            step = step.run()
        return step

    def _hear(self, challenge: Challenge, asking: ServerLogin) -> bytes | None:
        self.heard.append(challenge.code)
        answer = asking.receive(challenge.code, challenge.payload)
        if isinstance(answer, Work):
            self.slow.append("asking")
            answer = answer.run()
        return answer.payload if answer else None
