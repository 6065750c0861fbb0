"""What clients and servers say, fit for a terminal: it must neither steer that nor look like more lines."""


def clean(text: str, kept: str = "") -> str:
    """Control characters spelled out, but those that are `kept`."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in kept else letter.encode("unicode_escape").decode()
        for letter in text
    )
