"""Clients who read and write in the background, steadily, whatever happens; their number is that of threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import psycopg

PAUSE = 0.02  # seconds between two requests of one client: a load, no flood
READ = "SELECT name FROM items WHERE id = %s"
WRITE = "INSERT INTO items VALUES (%s, 'sold') ON CONFLICT (id) DO UPDATE SET name = 'sold'"


class Load:
    """`with Load(dsn, 3) as load`; one of three requests writes. `reads` and `writes` are those that were answered."""

    def __init__(self, dsn: str, size: int) -> None:
        self.dsn = dsn
        self.reads = self.writes = 0
        self.errors: list[psycopg.Error] = []
        self.going = threading.Event()
        self.over = threading.Event()
        self.counting = threading.Lock()
        self.turns = [threading.Lock() for _ in range(size)]  # held while a request is under way
        self.threads = [threading.Thread(target=self._live, args=[number]) for number in range(size)]

    def __enter__(self) -> Self:
        self.going.set()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.going.set()
        for thread in self.threads:
            thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside nothing is asked, and nothing is under way."""
        self.going.clear()
        for turn in self.turns:
            with turn:
                pass
        try:
            yield
        finally:
            self.going.set()

    def _live(self, number: int) -> None:
        client: psycopg.Connection | None = None
        asked = 0
        while not self.over.wait(PAUSE):
            self.going.wait()
            with self.turns[number]:
                if not self.going.is_set():
                    continue
                asked += 1
                try:
                    if client is None or client.closed:
                        client = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
                    client.execute(WRITE if asked % 3 == 0 else READ, [asked % 100])
                    with self.counting:
                        self.writes += asked % 3 == 0
                        self.reads += asked % 3 != 0
                except psycopg.Error as error:
                    self.errors.append(error)
        if client is not None:
            client.close()
