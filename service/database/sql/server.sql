-- What is asked of the server itself.

-- name: connections_admitted
-- How many sessions of this user in this database the server admits at once. Others may have some
-- of them already.
SELECT least(
    current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0),
    nullif(role.rolconnlimit, -1),
    nullif(db.datconnlimit, -1)
)
FROM pg_roles AS role
CROSS JOIN pg_database AS db
WHERE role.rolname = current_user AND db.datname = current_database();
