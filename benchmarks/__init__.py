"""What the proxy costs, beside a direct connection and PgBouncer: `python -m benchmarks`."""
