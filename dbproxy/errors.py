"""What can go wrong, by who is at fault and what follows.

Each error carries what PostgreSQL's ErrorResponse needs (SQLSTATE and severity, see "PostgreSQL Error Codes" and
"Error and Notice Message Fields" in its documentation). `ERROR` leaves the connection usable, `FATAL` ends it.
Messages never hold a secret: they are logged and sent to clients as they are.
"""

from collections.abc import Mapping
from types import MappingProxyType

NO_FACTS: Mapping[str, str] = MappingProxyType({})


class ProxyError(Exception):
    """What happened, to whom, and what to do: the one root that the proxy catches."""

    sqlstate = "XX000"
    severity = "ERROR"
    detail_log = ""  # for our log alone, as PostgreSQL's errdetail_log: what the client must not be told
    facts: Mapping[str, str] = NO_FACTS  # for our log alone, each under a key of its own
    spelled = b""  # its ErrorResponse, of one that many are told
    quiet = False  # our log has told enough of its like, and is told how many more there are

    def __init__(self, message: str, *, detail: str = "", hint: str = "", sqlstate: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        if sqlstate:
            self.sqlstate = sqlstate


class ConfigurationError(ProxyError):
    """The operator's settings are wrong: the process does not start, or keeps the settings it has."""

    sqlstate = "F0000"


# --- the client is at fault: that client alone bears it ---


class ProtocolViolation(ProxyError):
    """The client sent what the protocol does not allow; its connection is closed."""

    sqlstate = "08P01"
    severity = "FATAL"


class UnreadableStartup(ProtocolViolation):
    """What came first is no start of a conversation: it is logged, and nobody is told (PostgreSQL's COMMERROR)."""


class InvalidPassword(ProxyError):
    """Wrong password or unknown user: the client cannot tell which."""

    sqlstate = "28P01"
    severity = "FATAL"


class InvalidAuthorization(ProxyError):
    """The login asks for what is not allowed (no user name, a user without access)."""

    sqlstate = "28000"
    severity = "FATAL"


class DatabaseDisabled(ProxyError):
    """An administrator has disabled the database; the words and the SQLSTATE are PgBouncer's."""

    sqlstate = "08P01"
    severity = "FATAL"


class FeatureNotSupported(ProxyError):
    sqlstate = "0A000"


class InvalidParameterValue(ProxyError):
    """A setting of ours cannot have this value."""

    sqlstate = "22023"


class InsufficientPrivilege(ProxyError):
    """A client would cancel or end another's."""

    sqlstate = "42501"


class MessageTooLarge(ProxyError):
    """A message that must be whole in memory is over the limit; the connection is closed."""

    sqlstate = "54000"
    severity = "FATAL"


class LoginTimeout(ProxyError):
    sqlstate = "08P01"
    severity = "FATAL"


class CommandFailed(ProxyError):
    """The console does not know a command, or cannot carry it out; the connection goes on."""

    sqlstate = "08P01"


# --- nobody is at fault: there is not enough of something ---


class TooManyConnections(ProxyError):
    sqlstate = "53300"
    severity = "FATAL"


class OutOfMemory(ProxyError):
    """More is kept for a client, or for all of them, than may be."""

    sqlstate = "53200"
    severity = "FATAL"


class QueryWaitTimeout(ProxyError):
    """No server became free in time; the request was not sent and the connection goes on."""

    sqlstate = "53300"


class TooManyWaiting(ProxyError):
    """More wait for a server already than may; the request was not sent and the connection goes on."""

    sqlstate = "53300"


class RateLimited(ProxyError):
    """The client, or whoever it belongs to, has asked for as much as its limit allows."""

    sqlstate = "53400"


class QueryCanceled(ProxyError):
    """The client cancelled a request that was still waiting for a server."""

    sqlstate = "57014"


class QueryTimeout(QueryCanceled):
    """A request has taken longer than `query_timeout`, in seconds; in PostgreSQL's words for `statement_timeout`."""

    def __init__(self, timeout: float, *, detail: str = "") -> None:
        QueryCanceled.__init__(
            self,
            "canceling statement due to query timeout",
            detail=detail or f"query_timeout is {timeout:g} s.",
        )


class AdminShutdown(ProxyError):
    """The proxy stops, or an administrator ended the connection."""

    sqlstate = "57P01"
    severity = "FATAL"


# --- the server is at fault ---


class ServerUnavailable(ProxyError):
    """No server connection could be opened: nothing of the request was sent."""

    sqlstate = "08001"
    severity = "FATAL"


class LoginRefused(ServerUnavailable):
    """No host lets us in, nor will while it and our configuration are what they are: a password is not known …."""


class ServerRefused(ProxyError):
    """PostgreSQL answered the login with an error; SQLSTATE, message, detail and hint are its own."""

    severity = "FATAL"


class ServerLost(ProxyError):
    """The server connection broke with a request or transaction open; its fate is unknown."""

    sqlstate = "08006"
    severity = "FATAL"


class SessionLost(ProxyError):
    """What a client has set cannot be set on the server connection that it is lent; SQLSTATE is PostgreSQL's."""

    severity = "FATAL"


# --- jobs in the database ---


class JobRefused(ProxyError):
    """It is not begun: what was asked for cannot be done so."""

    sqlstate = "22023"


class JobFailed(ProxyError):
    """It has stopped, what was done stays, and it can be resumed."""

    sqlstate = "57000"


class JobRuns(JobFailed):
    """Somebody else works on it."""

    sqlstate = "55006"


class JobStopped(JobFailed):
    """It was told to stop."""

    sqlstate = "57014"


class JobInterrupted(JobFailed):
    """The process was told to end; the job is to be resumed."""

    sqlstate = "57014"
