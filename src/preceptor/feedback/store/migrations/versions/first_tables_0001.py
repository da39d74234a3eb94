"""The first tables."""

import sqlalchemy as sa
from alembic import op

from preceptor.feedback.store.migrations.append_only import protect

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and protect what is only added to."""
    people()
    content()
    work()
    judgements()
    protect("judgements", "demonstrations", "rankings", "ratings", "screenings", "audit", "published")


def people() -> None:
    """Who there is, and what the store knows of itself."""
    op.create_table(
        "forgetting",
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_forgetting"),
    )
    op.create_table(
        "forgotten",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_forgotten"),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("language", sa.String(length=20), nullable=False),
        sa.Column("consent_version", sa.Integer(), nullable=True),
        sa.Column("consent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('person', 'simulated', 'model', 'imported')", name="ck_people_kind"),
        sa.CheckConstraint("role IN ('labeler', 'reviewer', 'admin')", name="ck_people_role"),
        sa.CheckConstraint("status IN ('active', 'suspended', 'forgotten')", name="ck_people_status"),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.UniqueConstraint("name", name="uq_people_name"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_audit_person_id"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_by", sa.Integer(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('labeler', 'reviewer', 'admin')", name="ck_invitations_role"),
        sa.ForeignKeyConstraint(["created_by"], ["people.id"], name="fk_invitations_created_by"),
        sa.ForeignKeyConstraint(["used_by"], ["people.id"], name="fk_invitations_used_by"),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
    )
    op.create_table(
        "published",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("language", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["people.id"], name="fk_published_created_by"),
        sa.PrimaryKeyConstraint("name", "version", "language", name="pk_published"),
    )
    op.create_table(
        "screenings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("criterion", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("cutoff", sa.Float(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("recorded_by", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_screenings_person_id"),
        sa.ForeignKeyConstraint(["recorded_by"], ["people.id"], name="fk_screenings_recorded_by"),
        sa.PrimaryKeyConstraint("id", name="pk_screenings"),
    )
    op.create_index("ix_screenings_person_id", "screenings", ["person_id"])
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_sessions_person_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_person_id", "sessions", ["person_id"])


def content() -> None:
    """What is judged."""
    op.create_table(
        "prompts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["people.id"], name="fk_prompts_author_id"),
        sa.PrimaryKeyConstraint("id", name="pk_prompts"),
    )
    op.create_index("ix_prompts_author_id", "prompts", ["author_id"])
    op.create_index("ix_prompts_user", "prompts", ["user"])
    op.create_table(
        "responses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["people.id"], name="fk_responses_author_id"),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_responses_prompt_id"),
        sa.PrimaryKeyConstraint("id", name="pk_responses"),
    )
    op.create_index("ix_responses_author_id", "responses", ["author_id"])
    op.create_index("ix_responses_prompt_id_text_hash", "responses", ["prompt_id", "text_hash"])


def work() -> None:
    """What is to be done, and by whom."""
    op.create_table(
        "queues",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("lock_seconds", sa.Integer(), nullable=False),
        sa.Column("honeypot_rate", sa.Float(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('demonstration', 'prompt', 'ranking', 'comparison')", name="ck_queues_kind"),
        sa.CheckConstraint("honeypot_rate >= 0 AND honeypot_rate < 1", name="ck_queues_honeypot_rate"),
        sa.CheckConstraint("overlap >= 1", name="ck_queues_overlap"),
        sa.PrimaryKeyConstraint("id", name="pk_queues"),
        sa.UniqueConstraint("name", name="uq_queues_name"),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("honeypot", sa.Boolean(), nullable=False),
        sa.Column("identical", sa.Boolean(), nullable=False),
        sa.Column("known", sa.JSON(), nullable=True),
        sa.Column("wish", sa.JSON(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("done >= 0 AND done <= taken", name="ck_items_done"),
        sa.CheckConstraint("taken >= 0 AND taken <= overlap", name="ck_items_taken"),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_items_prompt_id"),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name="fk_items_queue_id"),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
    )
    op.create_index(
        "ix_items_free",
        "items",
        ["queue_id", "honeypot", sa.literal_column("priority DESC"), "id"],
        sqlite_where=sa.text("taken < overlap"),
        postgresql_where=sa.text("taken < overlap"),
    )
    op.create_index("ix_items_prompt_id", "items", ["prompt_id"])
    op.create_index("uq_items_queue_id_digest", "items", ["queue_id", "digest"], unique=True)
    op.create_table(
        "assignments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("guideline_version", sa.Integer(), nullable=False),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('locked', 'done', 'skipped', 'released', 'expired', 'withdrawn')", name="ck_assignments_state"
        ),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_assignments_item_id"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_assignments_person_id"),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name="fk_assignments_queue_id"),
        sa.PrimaryKeyConstraint("id", name="pk_assignments"),
    )
    op.create_index(
        "ix_assignments_expiring",
        "assignments",
        ["expires_at"],
        sqlite_where=sa.text("state = 'locked'"),
        postgresql_where=sa.text("state = 'locked'"),
    )
    op.create_index("ix_assignments_person_id_queue_id", "assignments", ["person_id", "queue_id"])
    op.create_index("uq_assignments_item_id_person_id", "assignments", ["item_id", "person_id"], unique=True)
    op.create_index(
        "uq_assignments_live",
        "assignments",
        ["person_id", "queue_id"],
        unique=True,
        sqlite_where=sa.text("state = 'locked'"),
        postgresql_where=sa.text("state = 'locked'"),
    )
    op.create_table(
        "item_authors",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_item_authors_item_id"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_item_authors_person_id"),
        sa.PrimaryKeyConstraint("item_id", "person_id", name="pk_item_authors"),
    )
    op.create_table(
        "item_responses",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("response_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_item_responses_item_id"),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name="fk_item_responses_response_id"),
        sa.PrimaryKeyConstraint("item_id", "place", name="pk_item_responses"),
    )
    op.create_index("ix_item_responses_response_id", "item_responses", ["response_id"])
    op.create_table(
        "drafts",
        sa.Column("assignment_id", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name="fk_drafts_assignment_id"),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_drafts"),
    )


def judgements() -> None:
    """What was said."""
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("assignment_id", sa.String(length=32), nullable=True),
        sa.Column("item_id", sa.Integer(), nullable=True),
        sa.Column("prompt_id", sa.Text(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("guideline_version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("supersedes", sa.Integer(), nullable=True),
        sa.Column("all_bad", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('demonstration', 'prompt', 'ranking', 'rating', 'comparison', 'skip', 'withdrawal')",
            name="ck_judgements_kind",
        ),
        sa.CheckConstraint("seconds IS NULL OR seconds >= 0", name="ck_judgements_seconds"),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name="fk_judgements_assignment_id"),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_judgements_item_id"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_judgements_person_id"),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_judgements_prompt_id"),
        sa.ForeignKeyConstraint(["supersedes"], ["judgements.id"], name="fk_judgements_supersedes"),
        sa.PrimaryKeyConstraint("id", name="pk_judgements"),
        sa.UniqueConstraint("key", name="uq_judgements_key"),
    )
    op.create_index("ix_judgements_assignment_id", "judgements", ["assignment_id"])
    op.create_index("ix_judgements_at", "judgements", ["at"])
    op.create_index("ix_judgements_kind_item_id", "judgements", ["kind", "item_id"])
    op.create_index("ix_judgements_person_id_kind", "judgements", ["person_id", "kind"])
    op.create_index("ix_judgements_prompt_id", "judgements", ["prompt_id"])
    op.create_index("uq_judgements_supersedes", "judgements", ["supersedes"], unique=True)
    op.create_table(
        "demonstrations",
        sa.Column("judgement_id", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["judgement_id"], ["judgements.id"], name="fk_demonstrations_judgement_id"),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name="fk_demonstrations_response_id"),
        sa.PrimaryKeyConstraint("judgement_id", name="pk_demonstrations"),
    )
    op.create_index("ix_demonstrations_response_id", "demonstrations", ["response_id"])
    op.create_table(
        "rankings",
        sa.Column("judgement_id", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.CheckConstraint("rank >= 1", name="ck_rankings_rank"),
        sa.ForeignKeyConstraint(["judgement_id"], ["judgements.id"], name="fk_rankings_judgement_id"),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name="fk_rankings_response_id"),
        sa.PrimaryKeyConstraint("judgement_id", "response_id", name="pk_rankings"),
    )
    op.create_index("ix_rankings_response_id", "rankings", ["response_id"])
    op.create_table(
        "ratings",
        sa.Column("judgement_id", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("overall", sa.Integer(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.CheckConstraint("overall >= 1 AND overall <= 7", name="ck_ratings_overall"),
        sa.ForeignKeyConstraint(["judgement_id"], ["judgements.id"], name="fk_ratings_judgement_id"),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name="fk_ratings_response_id"),
        sa.PrimaryKeyConstraint("judgement_id", "response_id", name="pk_ratings"),
    )
    op.create_index("ix_ratings_response_id", "ratings", ["response_id"])
