"""Words of the console's commands that may be in quotes: identifiers in double ones, strings in single ones."""


def unquote(word: str) -> str:
    """What it says; a word without quotes as it is."""
    quote = word[:1]
    return word[1:-1].replace(quote * 2, quote) if quote in ('"', "'") else word
