"""Which ways of logging in a URL lets a server ask for: libpq's `require_auth`.

A list of methods, or of methods each behind a `!` that must not be. `none`: the server lets us in without asking.
"""

_BY_CODE = {0: "none", 3: "password", 5: "md5", 7: "gss", 9: "sspi", 10: "scram-sha-256"}


def is_allowed(required: str, code: int, *, asked: bool) -> bool:
    """Whether the server may send this Authentication code; `asked`: it has asked for something before."""
    method = _BY_CODE.get(code)
    if not required or method is None or (method == "none" and asked):
        return True
    names = required.split(",")
    if names[0].startswith("!"):
        return f"!{method}" not in names
    return method in names
