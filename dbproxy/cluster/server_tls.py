"""How lines to a server are encrypted, by its URL and the settings for all."""

from dbproxy.config import Host
from dbproxy.config.tls import TlsSettings, find_ciphers
from dbproxy.errors import ConfigurationError
from dbproxy.net.tls import Files, Handshakes, ServerTls, make_server_context


def make_server_tls(host: Host, tls: TlsSettings, handshakes: Handshakes | None = None) -> ServerTls | None:
    """None for a Unix socket, and where it is not to be. ConfigurationError if a file does not serve."""
    wish = tls.complete(host.tls)
    if wish.sslmode == "disable" or host.is_unix:
        if wish.channel_binding == "require":
            why = "a Unix socket is never encrypted" if host.is_unix else "sslmode is disable"
            raise ConfigurationError(f"channel_binding is require, and {why}")
        return None
    files = Files(
        wish.sslcert,
        wish.sslkey,
        wish.sslrootcert,
        wish.sslcrl,
        oldest=wish.ssl_min_protocol_version,
        newest=wish.ssl_max_protocol_version,
        ciphers=find_ciphers(tls.server_tls_ciphers),
    )
    context = make_server_context(files, wish.sslmode, wish.sslcertmode)
    if context.check_hostname and not wish.sslsni:
        raise ConfigurationError("sslsni=0 cannot be had with sslmode=verify-full; leave it out")
    return ServerTls(
        mode=wish.sslmode,
        name=host.host,
        context=context,
        direct=wish.sslnegotiation == "direct",
        sni=wish.sslsni,
        channel_binding=wish.channel_binding,
        handshakes=handshakes or Handshakes(),
    )
