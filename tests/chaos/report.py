"""The table that `make chaos` prints."""

from tests.chaos.stage import Outcome

HEAD = (
    "fault",
    "through",
    "reads by replicas",
    "per second before",
    "under it",
    "errors",
    "longest stall",
    "hedged",
    "first write",
    "ledger",
)


def print_table(outcomes: list[Outcome]) -> None:
    rows = [HEAD, *(row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def row(outcome: Outcome) -> tuple[str, ...]:
    errors = ", ".join(f"{count}x {what}" for what, count in sorted(outcome.errors.items())) or "none"
    if outcome.stuck:
        errors += f"; {outcome.stuck} clients without an answer"
    ledger = (
        "right"
        if not outcome.missing and not outcome.surplus
        else (f"{outcome.missing} acknowledged missing, {outcome.surplus} refused there")
    )
    return (
        outcome.fault,
        outcome.pooler,
        f"{100 * (1 - outcome.hosts['primary'] / max(outcome.hosts.total(), 1)):.0f} %",
        f"{outcome.before:,.0f}",
        f"{outcome.under:,.0f}",
        errors,
        f"{outcome.longest:.2f} s",
        f"{100 * outcome.hedged / max(outcome.hosts.total(), 1):.1f} %",
        f"{outcome.recovered:.2f} s" if outcome.recovered is not None else "never",
        ledger + (" BROKEN" if outcome.broken else ""),
    )
