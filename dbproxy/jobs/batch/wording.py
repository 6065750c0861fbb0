"""What is said of the rows or lines that a batch leaves out, by its kind."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """Of a run; `one`: what stands before its key."""

    one: str = "the row with key"
    failed: str = "cannot be changed"
    left_out: str = "rows could not be changed"


WORDINGS = {
    "load": Wording("line", "cannot be loaded", "lines could not be loaded"),
    "copy": Wording("the row with key", "cannot be copied", "rows could not be copied"),
}
