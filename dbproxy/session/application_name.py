"""What PostgreSQL sees as a client's application_name, where its address is wanted in it."""

NAME_LIMIT = 63  # bytes (PostgreSQL's NAMEDATALEN - 1)


def name_with_host(name: str, address: str, port: int) -> str:
    """As PgBouncer writes it. One that is too long loses its own end, not the address."""
    place = f" - {f'[{address}]' if ':' in address else address}:{port}" if port else " - unix"
    room = NAME_LIMIT - len(place)
    return (name or "app").encode(errors="surrogateescape")[:room].decode(errors="ignore") + place
