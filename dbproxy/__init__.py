"""dbproxy: a PostgreSQL sidecar proxy."""
