"""PHP's PDO through the proxy, where PHP and its driver are installed."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.proxy import Proxy

BEGINNING = """<?php
[, $host, $port, $database, $user, $password] = $argv;
function open() {
    global $host, $port, $database, $user, $password;
    $options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC];
    return new PDO("pgsql:host=$host;port=$port;dbname=$database", $user, $password, $options);
}
function open_many($number) { return array_map(fn() => open(), range(1, $number)); }
function work() {
"""
END = """
}
echo json_encode(work());
"""


@pytest.fixture(scope="module")
def interpreter() -> str:
    php = shutil.which("php") or pytest.skip("PHP is not installed (apt-get install php-cli php-pgsql)")
    modules = subprocess.run([php, "-m"], capture_output=True, text=True, timeout=60, check=True).stdout
    return php if "pdo_pgsql" in modules else pytest.skip("no PDO for PostgreSQL (apt-get install php-pgsql)")


@pytest.fixture
def php(interpreter: str, tmp_path: Path, proxy: Proxy) -> Callable[[str], Any]:
    """Run the body of a function; what it returned, by way of JSON."""

    def run(body: str) -> Any:
        script = tmp_path / "work.php"
        script.write_text(BEGINNING + body + END)
        dsn = urlsplit(proxy.dsn())
        where = [
            str(part) for part in (dsn.hostname, dsn.port, dsn.path.lstrip("/"), dsn.username, dsn.password)
        ]
        command = [interpreter, script, *where]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert not done.returncode, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_a_table_changes_amid_its_prepared_statements(php: Callable[[str], Any]):
    """0A000, which PostgreSQL says after DDL, asks to prepare anew."""
    found = php("""
        $clients = open_many(6);
        $other = open();
        $other->exec("DROP TABLE IF EXISTS goods");
        $other->exec("CREATE TABLE goods (id int, name text)");
        $other->exec("INSERT INTO goods VALUES (1, 'a')");
        $prepare = fn($pdo) => $pdo->prepare("SELECT * FROM goods WHERE id = ?");
        $statements = array_map($prepare, $clients);
        $look = function () use ($clients, $prepare, &$statements) {
            $seen = [];
            foreach ([1, 2] as $turn)
                foreach ($clients as $number => $pdo) {
                    try { $statements[$number]->execute([1]); }
                    catch (PDOException $error) {
                        if ($error->getCode() != "0A000") throw $error;
                        $statements[$number] = $prepare($pdo);
                        $statements[$number]->execute([1]);
                    }
                    $seen[json_encode($statements[$number]->fetchAll())] = true;
                }
            return array_keys($seen);
        };
        $found = [$look()];
        $other->exec("ALTER TABLE goods ADD COLUMN price int DEFAULT 3");
        $found[] = $look();
        $other->exec("ALTER TABLE goods DROP COLUMN name");
        $found[] = $look();
        return $found;
        """)
    assert [[json.loads(rows) for rows in seen] for seen in found] == [
        [[{"id": 1, "name": "a"}]],
        [[{"id": 1, "name": "a", "price": 3}]],
        [[{"id": 1, "price": 3}]],
    ]


def test_transactions_copy_and_errors(php: Callable[[str], Any]):
    found = php("""
        $clients = open_many(6);
        $clients[0]->exec("DROP TABLE IF EXISTS orders");
        $clients[0]->exec("CREATE TABLE orders (n int UNIQUE)");
        $codes = [];
        foreach ($clients as $number => $pdo) {
            $pdo->beginTransaction();
            $pdo->prepare("INSERT INTO orders VALUES (:n)")->execute(["n" => $number]);
            $pdo->exec("SAVEPOINT before");
            try { $pdo->exec("INSERT INTO orders VALUES ($number)"); }
            catch (PDOException $error) { $codes[] = $error->getCode(); $pdo->exec("ROLLBACK TO before"); }
            $number % 2 ? $pdo->rollBack() : $pdo->commit();
        }
        $clients[1]->pgsqlCopyFromArray("orders", ["10", "11"]);
        $count = $clients[2]->query("SELECT count(*) FROM orders")->fetchColumn();
        return [array_unique($codes), $count, array_map("trim", $clients[3]->pgsqlCopyToArray("orders"))];
        """)
    assert found == [["23505"], 5, ["0", "2", "4", "10", "11"]]


def test_cursors_and_large_objects(php: Callable[[str], Any]):
    found = php("""
        $found = [];
        foreach (open_many(6) as $pdo) {
            $pdo->beginTransaction();
            $cursor = $pdo->prepare("SELECT generate_series(1, 3) AS n", [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
            $cursor->execute();
            $rows = [$cursor->fetch()["n"], $cursor->fetch(PDO::FETCH_ASSOC, PDO::FETCH_ORI_LAST)["n"]];
            $oid = $pdo->pgsqlLOBCreate();
            $stream = $pdo->pgsqlLOBOpen($oid, "w");
            fwrite($stream, "large");
            $stream = null;
            $rows[] = stream_get_contents($pdo->pgsqlLOBOpen($oid, "r"));
            $pdo->pgsqlLOBUnlink($oid);
            $pdo->commit();
            $found[] = $rows;
        }
        return $found;
        """)
    assert found == [[1, 3, "large"]] * 6


def test_last_insert_id_by_more_clients_than_servers(php: Callable[[str], Any]):
    """By SELECT LASTVAL(): all stay connected, and insert in turn."""
    found = php("""
        $clients = open_many(6);
        $clients[0]->exec("DROP TABLE IF EXISTS parcels");
        $clients[0]->exec("CREATE TABLE parcels (id serial, n int)");
        $ids = [];
        foreach ([1, 2] as $turn)
            foreach ($clients as $number => $pdo) {
                $pdo->prepare("INSERT INTO parcels (n) VALUES (?)")->execute([$number]);
                $ids[] = (int) $pdo->lastInsertId();
            }
        return $ids;
        """)
    assert found == list(range(1, 13))
