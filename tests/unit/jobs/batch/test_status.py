"""How far a batch is, in words."""

from dataclasses import replace

from dbproxy.jobs.batch.job import Moment
from dbproxy.jobs.batch.ledger import Job, Totals
from dbproxy.jobs.batch.status import line, tell_account
from dbproxy.jobs.batch.watch import describe
from dbproxy.jobs.progress import Progress

JOB = Job(
    "t-1", "load", "COPY", "public.t", ("line",), {}, {}, "running", estimate=9, totals=Totals(rows=1, seen=3, chunks=1)
)  # fmt: skip
PIPE = replace(JOB, estimate=0)


def test_of_how_many_is_told_where_that_is_known():
    assert line(JOB) == "t-1  running  1 row, 3 of about 9 seen, 1 chunk, 0 errors"
    assert line(PIPE) == "t-1  running  1 row, 3 seen, 1 chunk, 0 errors"
    assert line(replace(JOB, state="done")) == "t-1  done  1 row, 3 seen, 1 chunk, 0 errors"
    assert describe(Moment(Progress(9, 3))) == "33%, 3 of about 9"
    assert describe(Moment(Progress(0, 3))) == "3 seen"


def test_batch_that_revisits_rows_says_so():
    job = replace(JOB, estimate=3, totals=Totals(rows=1, seen=3, chunks=1, open=1, revisits=True))
    assert line(job).startswith("t-1  running (revisits rows that others had)  1 row, 3 of about 3 seen")
    assert line(replace(job, waits_for="lag")).startswith("t-1  running (lag)  ")
    assert line(replace(job, state="failed")).startswith("t-1  failed  ")
    assert (
        describe(Moment(Progress(3, 3), revisits=True)) == "100%, 3 of about 3, revisits rows that others had"
    )


def test_account_tells_what_was_left_out_and_how_to_see_it():
    left = replace(PIPE, state="done with errors", totals=Totals(rows=1, seen=3, errors=2))
    assert tell_account(left)[0] == (
        "batch t-1 is done with errors; lines read: 3, left out: 2 (dbproxy batch errors t-1 lists them), "
        "rows of public.t made or changed: 1"
    )
    assert "lines read: 3 of about 9, left out: 0, rows" in tell_account(JOB)[0]
