"""What clients and servers say, fit for a terminal: it must neither steer that nor look like more lines."""

from unicodedata import category


def clean(text: str, kept: str = "") -> str:
    """Control characters spelled out, but those that are `kept`; spaces of any width are none."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in kept or category(letter) == "Zs"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
