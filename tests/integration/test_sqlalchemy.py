"""SQLAlchemy 2 through the proxy, on psycopg and on asyncpg."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, func, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from tests.support.proxy import Proxy
from tests.support.serving import shuffle


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


@pytest.fixture(params=["psycopg", "asyncpg"])
async def engine(proxy: Proxy, request: pytest.FixtureRequest) -> AsyncIterator[AsyncEngine]:
    """With the driver's default settings, more connections than the proxy has servers, and empty tables."""
    url = proxy.dsn().replace("postgresql", f"postgresql+{request.param}")
    made = create_async_engine(url, pool_size=8)
    async with made.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield made
    async with made.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await made.dispose()


async def test_objects_are_stored_and_loaded(engine: AsyncEngine, proxy: Proxy):
    async with AsyncSession(engine) as session:
        session.add_all(
            Author(name=f"author {number}", books=[Book(title=f"{number}.{part}") for part in range(5)])
            for number in range(50)
        )
        await session.commit()
    await asyncio.to_thread(shuffle, proxy, 2)
    async with AsyncSession(engine) as session:
        authors = await session.scalars(
            select(Author).options(selectinload(Author.books)).order_by(Author.id)
        )
        assert [len(author.books) for author in authors] == [5] * 50
        author = await session.scalar(select(Author).where(Author.name == "author 7"))
        assert author is not None
        assert [book.title for book in await author.awaitable_attrs.books] == [
            f"7.{part}" for part in range(5)
        ]
        await session.delete(author)
        await session.commit()
        assert await session.scalar(select(func.count()).select_from(Book)) == 245


async def test_sessions_side_by_side(engine: AsyncEngine):
    async def work(number: int) -> None:
        for turn in range(10):
            async with AsyncSession(engine) as session, session.begin():
                session.add(Author(name=f"{number}/{turn}"))
                await session.flush()
                found = await session.scalar(select(Author.name).where(Author.name == f"{number}/{turn}"))
                assert found == f"{number}/{turn}"

    async with asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(work(number))
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(Author)) == 160


async def test_savepoint_saves_the_transaction(engine: AsyncEngine):
    async with AsyncSession(engine) as session, session.begin():
        session.add(Author(name="one"))
        await session.flush()
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                session.add(Author(name="one"))
        session.add(Author(name="two"))
    async with engine.connect() as connection:
        names = await connection.scalars(select(Author.name).order_by(Author.name))
        assert list(names) == ["one", "two"]


async def test_rows_are_streamed(engine: AsyncEngine):
    async with engine.connect() as connection:
        rows = await connection.stream(
            text("SELECT generate_series(1, 5000)"), {}, execution_options={"yield_per": 100}
        )
        assert [row[0] async for row in rows] == list(range(1, 5001))


async def test_tables_are_reflected(engine: AsyncEngine):
    def reflect(connection: AsyncConnection) -> tuple[list[str], MetaData]:
        metadata = MetaData()
        metadata.reflect(connection)
        return sorted(inspect(connection).get_table_names()), metadata

    async with engine.connect() as connection:
        names, metadata = await connection.run_sync(reflect)
    assert names == ["author", "book"]
    assert [key.target_fullname for key in metadata.tables["book"].foreign_keys] == ["author.id"]


async def test_insert_of_many_rows_returns_them(engine: AsyncEngine):
    table = Table("author", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text))
    async with engine.begin() as connection:
        rows = [{"name": str(number)} for number in range(3000)]
        result = await connection.execute(
            table.insert().returning(table.c.id, sort_by_parameter_order=True), rows
        )
        assert len(set(result.scalars())) == 3000
