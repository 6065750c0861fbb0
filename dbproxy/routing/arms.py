"""Requests counted by where routing stands for their session: for as long as there are sessions in both arms."""

from dbproxy.pool.query import Query


class ArmCounter:
    """A listener (dbproxy.gates)."""

    def hear(self, request: Query) -> None:
        request.session.route.stand.arm.count(request.microseconds, request.failed)
