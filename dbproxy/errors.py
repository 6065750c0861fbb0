"""What can go wrong, by who is at fault and what follows.

Each error carries what PostgreSQL's ErrorResponse needs (SQLSTATE and severity, see "PostgreSQL Error Codes" and
"Error and Notice Message Fields" in its documentation). `ERROR` leaves the connection usable, `FATAL` ends it.
Messages never hold a secret: they are logged and sent to clients as they are.
"""


class ProxyError(Exception):
    """What happened, to whom, and what to do: the one root that the proxy catches."""

    sqlstate = "XX000"
    severity = "ERROR"

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


class UnknownDatabase(ProxyError):
    sqlstate = "3D000"
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


class QueryWaitTimeout(ProxyError):
    """No server became free in time; the request was not sent and the connection goes on."""

    sqlstate = "53300"


class TooManyWaiting(ProxyError):
    """More wait for a server already than may; the request was not sent and the connection goes on."""

    sqlstate = "53300"


class QueryCanceled(ProxyError):
    """The client cancelled a request that was still waiting for a server."""

    sqlstate = "57014"


class AdminShutdown(ProxyError):
    """The proxy stops, or an administrator ended the connection."""

    sqlstate = "57P01"
    severity = "FATAL"


# --- the server is at fault ---


class ServerUnavailable(ProxyError):
    """No server connection could be opened: nothing of the request was sent."""

    sqlstate = "08001"
    severity = "FATAL"


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
