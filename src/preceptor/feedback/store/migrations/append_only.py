"""Triggers that refuse to change or delete the rows of a table, unless `forgetting` holds a row in the transaction."""

from alembic import op

MESSAGE = "is only ever added to"


def protect(*tables: str) -> None:
    """Make tables append-only, on SQLite and PostgreSQL."""
    if op.get_bind().dialect.name == "sqlite":
        for table in tables:
            for action in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                    "WHEN NOT EXISTS (SELECT 1 FROM forgetting) "
                    f"BEGIN SELECT RAISE(ABORT, '{table} {MESSAGE}'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION preceptor_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NOT EXISTS (SELECT 1 FROM forgetting) THEN "
        f"RAISE EXCEPTION '% {MESSAGE}', TG_TABLE_NAME; END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
    )
    for table in tables:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION preceptor_append_only()"
        )
