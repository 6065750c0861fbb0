"""The numbers of the protocol, plain ints because hot code compares them.

PostgreSQL: "Message Formats"; a letter means one thing from a client (frontend) and another from a server
(backend).
"""

HEADER = 5  # bytes before the payload of every message after the start-up: its kind, and an int32 length


class Frontend:
    """Kind bytes of what a client sends."""

    BIND = ord("B")
    CLOSE = ord("C")
    COPY_DATA = ord("d")
    COPY_DONE = ord("c")
    COPY_FAIL = ord("f")
    DESCRIBE = ord("D")
    EXECUTE = ord("E")
    FLUSH = ord("H")
    FUNCTION_CALL = ord("F")
    PARSE = ord("P")
    PASSWORD = ord("p")  # also SASLInitialResponse, SASLResponse, GSSResponse: the last request tells which
    QUERY = ord("Q")
    SYNC = ord("S")
    TERMINATE = ord("X")


class Backend:
    """Kind bytes of what a server sends."""

    AUTHENTICATION = ord("R")
    BACKEND_KEY_DATA = ord("K")
    BIND_COMPLETE = ord("2")
    CLOSE_COMPLETE = ord("3")
    COMMAND_COMPLETE = ord("C")
    COPY_BOTH_RESPONSE = ord("W")
    COPY_DATA = ord("d")
    COPY_DONE = ord("c")
    COPY_IN_RESPONSE = ord("G")
    COPY_OUT_RESPONSE = ord("H")
    DATA_ROW = ord("D")
    EMPTY_QUERY_RESPONSE = ord("I")
    ERROR_RESPONSE = ord("E")
    FUNCTION_CALL_RESPONSE = ord("V")
    NEGOTIATE_PROTOCOL_VERSION = ord("v")
    NO_DATA = ord("n")
    NOTICE_RESPONSE = ord("N")
    NOTIFICATION_RESPONSE = ord("A")
    PARAMETER_DESCRIPTION = ord("t")
    PARAMETER_STATUS = ord("S")
    PARSE_COMPLETE = ord("1")
    PORTAL_SUSPENDED = ord("s")
    READY_FOR_QUERY = ord("Z")
    ROW_DESCRIPTION = ord("T")


class Authentication:
    """The int32 that begins an Authentication message: what the server asks for."""

    OK = 0
    KERBEROS_V5 = 2
    CLEARTEXT_PASSWORD = 3
    MD5_PASSWORD = 5
    GSS = 7
    GSS_CONTINUE = 8
    SSPI = 9
    SASL = 10
    SASL_CONTINUE = 11
    SASL_FINAL = 12


class Startup:
    """The int32 that begins what a new connection sends: a version (major << 16 | minor) or a request."""

    PROTOCOL_3_0 = 3 << 16
    PROTOCOL_3_2 = 3 << 16 | 2
    CANCEL_REQUEST = 1234 << 16 | 5678
    SSL_REQUEST = 1234 << 16 | 5679
    GSSENC_REQUEST = 1234 << 16 | 5680
