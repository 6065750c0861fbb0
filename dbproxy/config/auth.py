"""The section `[auth]`: how clients prove who they are, and where what is known of them comes from."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from dbproxy.config.section import Section, setting
from dbproxy.config.sections import ExistingFile
from dbproxy.config.units import Duration, Names, Unit

AuthType = Literal["scram-sha-256", "md5", "password", "cert", "peer", "trust", "hba"]
# PgBouncer's, letter for letter.
QUERY = (
    "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid "
    "WHERE rolname=$1 AND rolcanlogin"
)


def name_type(value: Any) -> Any:
    """PgBouncer calls it `plain`, PostgreSQL `password`."""
    return "password" if value == "plain" else value


def split_lines(value: Any) -> tuple[str, ...]:
    """A list of lines, or one text of several."""
    if isinstance(value, str):
        value = value.split("\n")
    if not isinstance(value, list | tuple) or not all(isinstance(line, str) for line in value):
        raise ValueError('must be a list of lines, such as ["host all all 10.0.0.0/8 scram-sha-256"]')
    return tuple(line for line in value if line.strip())


def check_query(text: str) -> str:
    if "$1" not in text:
        raise ValueError("must have the user's name as $1")
    return text


Lines = Annotated[tuple[str, ...], BeforeValidator(split_lines), Unit("list of lines", "; ".join)]
AuthQuery = Annotated[str, AfterValidator(check_query)]


class AuthSettings(Section):
    """How clients log in: see [authentication.md](authentication.md)."""

    type: Annotated[AuthType, BeforeValidator(name_type)] = setting(
        "scram-sha-256",
        "How a client proves who it is; `trust` asks for no proof; `hba` is as `hba_file` or `hba` says. `plain` is "
        "`password`.",
    )
    file: ExistingFile = setting(
        "",
        "Users and passwords in PgBouncer's `userlist.txt` format, beside those in the servers' URLs; "
        "a relative path starts at the configuration file's folder.",
    )
    hba_file: ExistingFile = setting(
        "", "Who may log in, from where, and how: a file in `pg_hba.conf`'s format."
    )
    hba: Lines = setting([], "Lines of such a file, ahead of those of `hba_file`.")
    ident_file: ExistingFile = setting(
        "",
        "Which users somebody may be whose certificate or Unix user has another name: `pg_ident.conf`'s format.",
    )
    ident: Lines = setting([], "Lines of such a file, ahead of those of `ident_file`.")
    user: str = setting(
        "",
        "Who asks the server for the passwords of users that are in no file (PgBouncer's `auth_user`); empty to ask "
        "for none.",
    )
    query: AuthQuery = setting(
        QUERY,
        "What gives a user's name and password, or what PostgreSQL stores of it (PgBouncer's `auth_query`). It runs "
        "with `search_path = pg_catalog`: other schemas have to be named.",
    )
    dbname: str = setting(
        "", "The database, by its name on the server, in which it is run; empty for that of `primary.url`."
    )
    query_ttl: Duration = setting(
        "5s", "How long its answer counts, also that there is no such user; 0 asks at each login."
    )
    query_timeout: Duration = setting("5s", "How long a login waits for its answer.")
    allow_cleartext: bool = setting(
        default=False,
        description="Whether a client may be asked for its password itself on a line that is neither encrypted nor a "
        "Unix socket.",
    )
    admin_users: Names = setting(
        ["dbproxy"],
        "Users who may do everything in the console database. While it is not set, the user of `primary.url` may, too, "
        "from this machine.",
    )
    stats_users: Names = setting([], "Users who may only read in the console database.")

    @model_validator(mode="after")
    def uses_its_lines(self) -> Self:
        ruled = bool(self.hba_file or self.hba)
        if ruled and self.type != "hba":
            raise ValueError(f'hba and hba_file count only with type = "hba", and it is "{self.type}"')
        if self.type == "hba" and not ruled:
            raise ValueError('type = "hba" needs hba_file or hba')
        return self
