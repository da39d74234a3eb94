"""What Alembic runs: the migrations on the connection it was given, inside that connection's transaction."""

from alembic import context

from preceptor.feedback.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
)
context.run_migrations()
