"""Whether a Redis that is configured can be asked at all."""

from dbproxy.config.env import name_variable
from dbproxy.errors import ConfigurationError
from dbproxy.net.redis import is_installed, is_url


def check_redis(key: str, url: str, otherwise: str) -> None:
    """ConfigurationError if it cannot. `otherwise`: what happens without one."""
    if not url:
        return
    name = f"{key} ({name_variable(key)})"
    if not is_installed():
        raise ConfigurationError(
            f"{name} needs a package that is not installed",
            hint=f"pip install 'dbproxy[redis]', or leave {key} empty: {otherwise}.",
        )
    if not is_url(url):
        raise ConfigurationError(
            f"{name} cannot be read",
            hint="redis://user:password@host:6379/0, with special characters of a password percent-encoded, and "
            "behind a question mark only what redis-py knows, such as ssl_ca_certs.",
        )
