"""What people give: the formats, the rules of hygiene, how they agree, and readers of other formats."""

STORE = "feedback.db"  # the store's file in a run directory
