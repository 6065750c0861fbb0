"""Who may log in: read from the settings and the files that they name."""

from collections.abc import Iterator
from pathlib import Path

from dbproxy.auth import hba, ident
from dbproxy.auth.access import Access
from dbproxy.auth.lines import Source, open_source
from dbproxy.auth.users import Secret, Users
from dbproxy.config import Host, Settings
from dbproxy.errors import ConfigurationError

NOBODY_TO_ASK = (
    "a role's members have to be asked for: set auth.user, who may log in to the server, or list them"
)
NOT_EVERYWHERE = (
    "a role's members have to be asked for, and where {} is empty nobody is let in by this line or behind it"
)


def read_access(settings: Settings) -> Access:
    """ConfigurationError if a file cannot be read, or has mistakes: each with its file and line."""
    auth = settings.auth
    users = read_users(settings)
    maps = (*ident.parse_maps(inline("auth.ident", auth.ident)), *read_maps(auth.ident_file))
    if auth.type != "hba":
        return Access(users, auth.type, None, maps, auth.allow_cleartext)
    rules = (*hba.parse_rules(inline("auth.hba", auth.hba)), *read_rules(auth.hba_file))
    for where, rule in list_asking(rules, maps):
        if not any(find_askers(settings, rule).values()):
            raise ConfigurationError(f"{where}: {NOBODY_TO_ASK}")
    return Access(users, "reject", rules, maps, auth.allow_cleartext)


def list_asking(rules: hba.Rules, maps: ident.Maps) -> Iterator[tuple[str, hba.Rule]]:
    """The lines that ask whose member somebody is, and where that stands."""
    for rule in rules:
        if hba.needs_roles(rule):
            yield rule.where, rule
        elif ident.needs_roles(maps, rule.map):
            yield f'{rule.where}: map "{rule.map}"', rule


def find_askers(settings: Settings, rule: hba.Rule) -> dict[str, str]:
    """Who asks in the databases that the line may be for, by the key that says so; "" for nobody."""
    names = hba.list_databases(rule)
    if names is None:
        return {key: authority.user for key, authority in settings.authorities().items()}
    return {f"databases.{name}.auth_user": settings.authority_for(name).user for name in names}


def list_doubts(settings: Settings, access: Access) -> list[str]:
    """What is valid, but does not do what one may think."""
    found = [*find_unused_rules(settings, access)]
    if settings.auth.type == "peer" and not settings.listen.unix_socket_dir:
        found.append(
            "auth.type is peer, and listen.unix_socket_dir is empty: only sockets of systemd let anybody in"
        )
    if settings.auth.type == "cert" and not settings.tls.client_tls_ca_file:
        found.append("nobody can log in: auth.type is cert, and there is no tls.client_tls_ca_file")
    return [*found, *doubt_askers(settings, access)]


def doubt_askers(settings: Settings, access: Access) -> Iterator[str]:
    """Where nobody may ask the server, or with no password."""
    for where, rule in list_asking(access.rules or (), access.maps):
        missing = [key for key, user in find_askers(settings, rule).items() if not user]
        if missing:
            yield f"{where}: {NOT_EVERYWHERE.format(' and '.join(missing))}"
    for key, authority in settings.authorities().items():
        asker = authority.user
        if asker and asker not in access.users and settings.password_for(authority.database, asker) is None:
            yield (
                f'{key} "{asker}" has no password in auth.file, in a URL or under [users]: it can ask only a server '
                "that trusts it"
            )


def find_unused_rules(settings: Settings, access: Access) -> Iterator[str]:
    """Lines by which nobody can log in, and why."""
    plain = settings.tls.client_tls_sslmode == "disable"
    known = {entry.map for entry in access.maps}
    for rule in access.rules or ():
        if plain and rule.kind == "hostssl":
            yield f"{rule.where}: hostssl is for nobody, as tls.client_tls_sslmode is disable"
        elif is_cleartext(rule, plain=plain) and not settings.auth.allow_cleartext:
            yield f"{rule.where}: password is for nobody, as these lines are not encrypted: see auth.allow_cleartext"
        if rule.map and rule.map not in known:
            yield f'{rule.where}: is for nobody: no line of auth.ident or auth.ident_file has the map "{rule.map}"'


def is_cleartext(rule: hba.Rule, *, plain: bool) -> bool:
    """Whether it asks for the password itself, and its connections are never encrypted."""
    return rule.method == "password" and (rule.kind == "hostnossl" or (plain and rule.kind == "host"))


def inline(key: str, lines: tuple[str, ...]) -> Source:
    """Lines in the settings; relative paths in them start at the process's folder."""
    return Source(key, Path(), "\n".join(lines))


def read_rules(file: Path | None) -> hba.Rules:
    return hba.parse_rules(open_source(file)) if file is not None else ()


def read_maps(file: Path | None) -> ident.Maps:
    return ident.parse_maps(open_source(file)) if file is not None else ()


def read_users(settings: Settings) -> Users:
    """The users of the file, those under [users], and those in the servers' URLs.

    The one in a database's own URL counts for that database alone: elsewhere its name may be somebody else's.
    """
    file = settings.auth.file
    users = Users.parse(read_text(file), str(file)) if file else Users()
    for name, keys in settings.users.items():
        if keys.password.get_secret_value():
            users.add(name, keys.password.get_secret_value())
    for url in (*(replica.url for replica in settings.replicas), settings.primary.url):
        users.update(read_logins(url))
    for name, listed in settings.databases.items():
        users.apart[name] = read_logins(listed.primary.url)
    return users


def read_logins(url: Host | None) -> dict[str, Secret]:
    """The users with a password in a URL; of several hosts the first one's word weighs most."""
    hosts = reversed(url.each() if url is not None else ())
    logins = ((host.user, host.password.get_secret_value()) for host in hosts)
    return {user: Secret("plain", password) for user, password in logins if user and password}


def read_text(file: Path) -> str:
    """ConfigurationError if it cannot be read, with nothing of what is in it."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        reason = f"{file}: must be UTF-8 text"
    raise ConfigurationError(reason)  # outside the handler: that error holds all of the file
