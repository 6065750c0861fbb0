"""asyncpg's own tests, against PostgreSQL directly and through the proxy, and the judge of what differs."""
