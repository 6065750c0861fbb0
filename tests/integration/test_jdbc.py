"""PostgreSQL's JDBC driver through the proxy, where a JDK and Debian's package of the driver are installed."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.proxy import Proxy

JAR = Path("/usr/share/java/postgresql.jar")
PROGRAM = """
import java.sql.*;
import java.util.*;

public class Work {
    static String url;

    static Connection open() throws Exception { return DriverManager.getConnection(url); }

    static List<Connection> openMany(int number) throws Exception {
        List<Connection> all = new ArrayList<>();
        for (int i = 0; i < number; i++) all.add(open());
        return all;
    }

    static void run(Connection connection, String sql) throws Exception {
        try (Statement statement = connection.createStatement()) { statement.execute(sql); }
    }

    /** Rows as `name=value`; 0A000, which PostgreSQL may say once after DDL, is tried again. */
    static String rows(PreparedStatement statement) throws Exception {
        for (int attempt = 0; ; attempt++)
            try (ResultSet rows = statement.executeQuery()) {
                StringJoiner text = new StringJoiner(" ");
                while (rows.next())
                    for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++)
                        text.add(rows.getMetaData().getColumnName(i) + "=" + rows.getString(i));
                return text.toString();
            } catch (SQLException error) {
                if (attempt > 0 || !error.getSQLState().equals("0A000")) throw error;
            }
    }

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        %s
    }
}
"""


@pytest.fixture
def java(tmp_path: Path, proxy: Proxy) -> Callable[[str], list[str]]:
    """Run statements with Work's functions at hand; the lines that they printed."""
    if not shutil.which("javac") or not JAR.exists():
        pytest.skip(
            "no JDK, or not its driver (apt-get install default-jdk-headless libpostgresql-jdbc-java)"
        )

    def run(body: str) -> list[str]:
        program = tmp_path / "Work.java"
        program.write_text(PROGRAM % body)
        dsn = urlsplit(proxy.dsn())
        url = f"jdbc:postgresql://{dsn.hostname}:{dsn.port}{dsn.path}?user={dsn.username}&password={dsn.password}"
        command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", JAR, program, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert not done.returncode, done.stderr
        return done.stdout.splitlines()

    return run


def test_a_table_changes_amid_its_prepared_statements(java: Callable[[str], list[str]]):
    """Executed more than five times a statement is a named one."""
    lines = java("""
        List<Connection> all = openMany(6);
        Connection other = open();
        run(other, "DROP TABLE IF EXISTS goods");
        run(other, "CREATE TABLE goods (id int, name text)");
        run(other, "INSERT INTO goods VALUES (1, 'a')");
        List<PreparedStatement> statements = new ArrayList<>();
        for (Connection connection : all) {
            statements.add(connection.prepareStatement("SELECT * FROM goods WHERE id = ?"));
            statements.get(statements.size() - 1).setInt(1, 1);
        }
        for (String ddl : new String[] {"ADD COLUMN price int DEFAULT 3", "DROP COLUMN name",
                                        "ALTER COLUMN price TYPE text", "ADD COLUMN weight float8"}) {
            Set<String> seen = new TreeSet<>();
            for (int turn = 0; turn < 8; turn++)
                for (PreparedStatement statement : statements) seen.add(rows(statement));
            System.out.println(seen);
            run(other, "ALTER TABLE goods " + ddl);
        }
        Set<String> seen = new TreeSet<>();
        for (PreparedStatement statement : statements) seen.add(rows(statement));
        System.out.println(seen);
        """)
    assert lines == [
        "[id=1 name=a]",
        "[id=1 name=a price=3]",
        "[id=1 price=3]",
        "[id=1 price=3]",
        "[id=1 price=3 weight=null]",
    ]


def test_transactions_batches_and_keys(java: Callable[[str], list[str]]):
    lines = java("""
        List<Connection> all = openMany(6);
        run(all.get(0), "DROP TABLE IF EXISTS orders");
        run(all.get(0), "CREATE TABLE orders (id serial, n int UNIQUE)");
        int next = 0;
        for (int turn = 0; turn < 3; turn++)
            for (Connection connection : all) {
                connection.setAutoCommit(false);
                PreparedStatement insert = connection.prepareStatement(
                    "INSERT INTO orders (n) VALUES (?)", Statement.RETURN_GENERATED_KEYS);
                for (int i = 0; i < 10; i++) { insert.setInt(1, next++); insert.addBatch(); }
                insert.executeBatch();
                int keys = 0;
                try (ResultSet rows = insert.getGeneratedKeys()) { while (rows.next()) keys++; }
                if (keys != 10) System.out.println("keys: " + keys);
                Savepoint savepoint = connection.setSavepoint();
                try { run(connection, "INSERT INTO orders (n) VALUES (0)"); }
                catch (SQLException error) {
                    if (!error.getSQLState().equals("23505")) System.out.println(error);
                    connection.rollback(savepoint);
                }
                if (turn < 2) connection.commit(); else connection.rollback();
                connection.setAutoCommit(true);
            }
        System.out.println(rows(all.get(3).prepareStatement("SELECT count(*) FROM orders")));
        """)
    assert lines == ["count=120"]


def test_rows_by_portions_and_cancel(java: Callable[[str], list[str]]):
    lines = java("""
        List<Connection> all = openMany(6);
        for (Connection connection : all) {
            connection.setAutoCommit(false);
            Statement statement = connection.createStatement();
            statement.setFetchSize(10);
            int sum = 0;
            try (ResultSet rows = statement.executeQuery("SELECT generate_series(1, 100)")) {
                while (rows.next()) sum += rows.getInt(1);
            }
            connection.commit();
            connection.setAutoCommit(true);
            if (sum != 5050) System.out.println(sum);
        }
        Statement slow = all.get(1).createStatement();
        slow.setQueryTimeout(1);
        try { slow.execute("SELECT pg_sleep(30)"); }
        catch (SQLException error) { System.out.println(error.getSQLState()); }
        System.out.println(rows(all.get(1).prepareStatement("SELECT 1 AS one")));
        """)
    assert lines == ["57014", "one=1"]
