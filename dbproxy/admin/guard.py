"""Who may see what HTTP shows: everybody, while only this machine can ask and no token is set; else who has the token.

Without a token the request must name this machine, too: a page from elsewhere, whose own name was made to lead here
(DNS rebinding), is asked for by a browser on this machine, and must not read what the browser then gets.

The two questions that load balancers and orchestrators ask are answered to anybody, in few words.
"""

from hmac import compare_digest

from dbproxy.config import Settings
from dbproxy.config.sections import is_loopback

OPEN = frozenset({"/", "/health", "/health/ready"})  # the page has no figure in it: it asks for them
_SCHEME = "bearer "


def is_trusted(settings: Settings, bound_to: str, authorization: str, host: str = "") -> bool:
    """Whether who sends these headers may see all; `bound_to`: the address that is listened on since start."""
    token = settings.http.token.get_secret_value()
    if not token:
        # The settings in force may be about another address, after a reload.
        return is_loopback(bound_to) and names_this_machine(host)
    given = authorization[len(_SCHEME) :] if authorization.lower().startswith(_SCHEME) else ""
    return compare_digest(given.strip().encode("utf-8", "replace"), token.encode())


def names_this_machine(host: str) -> bool:
    """Whether a Host header does; a client that sends none is no browser."""
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    return not host or is_loopback(name.lower()) or name.lower().endswith(".localhost")
