"""Hides secrets in whatever is about to be logged. When in doubt it hides too much, never too little."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

MASK = "***"
_DEPTH = 6  # of nested values that are looked into

_RULES = [
    # postgresql://user:secret@host: up to the last @ of this URL, as a careless secret may hold one itself
    (re.compile(r"(://[^\s:/@]*:)(?:(?!://)\S)*@"), rf"\1{MASK}@"),
    # password=secret in a connection string or URL, password = "secret" in TOML, "password": "secret" in JSON
    (
        re.compile(
            r"""((?:password|passwd|passphrase|pwd|secret|token)["']?\s*[=:]\s*)"""
            r"""(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.|'')*(?:'|$)|(?:\\.|[^\s"'\\])(?:\\.|\S)*)""",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1{MASK}",
    ),
    # CREATE ROLE … PASSWORD '…': all that follows, as where the string ends depends on the session
    (
        re.compile(
            r"(\bPASSWORD(?:\s|/\*.*?\*/|--[^\n]*\n)*)(?:(?:E|N|U&)?'|\$).*", re.IGNORECASE | re.DOTALL
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(SCRAM-SHA-\d+(?:-PLUS)?\$)[^\s'\"]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\bmd5[0-9a-f]{32}", re.IGNORECASE), f"md5{MASK}"),
]
_SECRET_KEY = re.compile(r"password|passwd|passphrase|secret|token|verifier", re.IGNORECASE)


def mask(text: str) -> str:
    """`text` without the secrets that can be told by their form."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def mask_value(value: Any, depth: int = _DEPTH) -> Any:
    """`value` as plain strings, numbers, lists and dicts without secrets; never raises."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return mask(bytes(value).decode("utf-8", "replace"))
    if depth and isinstance(value, Mapping):
        return {str(key): _mask_item(str(key), item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [mask_value(item, depth - 1) for item in value]
    return mask(_describe(value))


def mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor: every value masked, secret keys hidden whole."""
    return {key: _mask_item(key, value, _DEPTH) for key, value in event.items()}


def _mask_item(key: str, value: Any, depth: int) -> Any:
    if _SECRET_KEY.search(key) and value and not isinstance(value, bool):
        return MASK
    return mask_value(value, depth)


def _describe(value: Any) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # a __repr__ of anyone's may fail in any way, and the log line must still be written
        return f"<{type(value).__name__} that cannot be shown>"
