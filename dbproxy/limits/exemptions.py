"""Whom no limit is for: `limits.exempt`; and what: requests that end or clean up."""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from dbproxy.config.template import Facts

# COMMIT and the like where there is no transaction, and what poolers in drivers clean a session with; nothing besides.
_FREE = re.compile(
    rb"\s*(?:(?:commit|end|rollback|abort|discard|reset|deallocate|unlisten|close)\b[^;]*(?:;\s*|$))*;?\s*",
    re.IGNORECASE,
)
_IDLE = b"CDHS"  # messages with which nothing is executed, nor parsed


class Exemptions:
    """`names`: users, keys and addresses."""

    def __init__(self, words: Iterable[str]) -> None:
        words = list(words)
        self.names = {word for word in words if "/" not in word}
        self.networks = [ip_network(word) for word in words if "/" in word]

    def cover(self, facts: Facts, keys: Iterable[str]) -> bool:
        """Whether they are for this client, by whatever is known of it and by its keys."""
        if not self.names.isdisjoint((facts.user, facts.address, *keys)):
            return True
        if not (self.networks and facts.address):
            return False
        address = ip_address(facts.address)
        return any(address in network for network in self.networks)


def is_free(kinds: bytes, text: bytes) -> bool:
    """Whether these messages only end a transaction or clean up; `text`: of the first statement.

    What executes another behind it does more, and so may what was not sent to its end yet.
    """
    if kinds == b"Q":
        return _FREE.fullmatch(text) is not None
    if kinds[-1:] != b"S" or kinds.count(b"E") > 1:
        return False
    if b"E" in kinds:
        return b"B" in kinds and bool(text) and _FREE.fullmatch(text) is not None
    return not kinds.strip(_IDLE)
