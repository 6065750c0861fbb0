"""`pg_cancel_backend` and `pg_terminate_backend` with the process id that another client was told at its login.

That one is ours, and no backend's: the proxy itself cancels or disconnects the client, and the statement is sent with
the answer put in (sql.calls). Who names itself is answered by PostgreSQL, which is given the id of its own backend.
"""

from collections.abc import Collection, Sequence

from dbproxy.errors import InsufficientPrivilege
from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session.house import House
from dbproxy.session.identity import Identity
from dbproxy.sql.calls import Call, Operand
from dbproxy.wire import build

Values = Sequence[tuple[bytes | None, bool]]  # of a Bind, and whether they are binary
SIGNALS = {  # words of PostgreSQL's refusal
    "pg_cancel_backend": ("cancel query", "query is being canceled", "cancel this query"),
    "pg_terminate_backend": ("terminate process", "process is being terminated", "terminate this process"),
}


def signal(client: Identity, house: House, server: Server, call: Call, values: Values) -> str | Refusal:
    """Do what is asked for; what answers the call, "" if it names no client of ours."""
    target = house.find_client(_read_pid(call, values))
    if target is None:
        return ""
    if target.pid == client.pid:
        return f"CASE WHEN true THEN pg_catalog.{call.name}(pg_catalog.pg_backend_pid())"
    if not _may_signal(client, target, server, house.settings.auth.admin_users):
        return refuse(call.name)
    if call.name == "pg_cancel_backend":
        house.cancel(target.pid, target.key)
    else:
        house.terminate(target.pid, call.name)
    return "CASE WHEN true THEN true"


def refuse(function: str) -> Refusal:
    what, whose, that = SIGNALS[function]
    detail = (
        f"Only roles with privileges of the role whose {whose} or with privileges of the"
        f' "pg_signal_backend" role may {that}.'
    )
    return Refusal(
        "", build.error_response(InsufficientPrivilege(f"permission denied to {what}", detail=detail))
    )


def _may_signal(client: Identity, target: Identity, server: Server, administrators: Collection[str]) -> bool:
    """Whether it is the same user, or a superuser (as the server says of the session's role) or administrator."""
    superuser = server.backend.parameters.get("is_superuser") == "on"
    return superuser or client.user == target.user or client.user in administrators


def read_operand(operand: Operand, values: Values) -> tuple[bytes | None, bool]:
    """The operand's value, None if it has none, and whether that is binary."""
    if operand.literal is not None:
        return operand.literal.encode(errors="surrogateescape"), False
    return values[operand.parameter - 1] if operand.parameter <= len(values) else (None, False)


def _read_pid(call: Call, values: Values) -> int:
    """The process id that the call names; 0 if there is none."""
    value, binary = read_operand(call.operands[0], values)
    if value is None:
        return 0
    if binary:
        return int.from_bytes(value, "big")
    digits = value.strip()
    return int(digits) if digits.isdigit() and len(digits) < 20 else 0
