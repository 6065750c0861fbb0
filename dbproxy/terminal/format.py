"""How a result is printed."""

from enum import StrEnum


class Format(StrEnum):
    """`json`: an array of objects on one line for each table; `csv`: with a line of names."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
