"""Who may see what HTTP shows: everybody, while only this machine can ask and no token is set; else who has the token.

The two questions that load balancers and orchestrators ask are answered to anybody, in few words.
"""

from hmac import compare_digest

from dbproxy.config import Settings
from dbproxy.config.sections import is_loopback

OPEN = frozenset({"/", "/health", "/health/ready"})  # the page has no figure in it: it asks for them
_SCHEME = "bearer "


def is_trusted(settings: Settings, bound_to: str, authorization: str) -> bool:
    """Whether who sends this header may see all; `bound_to`: the address that is listened on since start."""
    token = settings.http.token.get_secret_value()
    if not token:
        return is_loopback(bound_to)  # the settings in force may be about another address, after a reload
    given = authorization[len(_SCHEME) :] if authorization.lower().startswith(_SCHEME) else ""
    return compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
