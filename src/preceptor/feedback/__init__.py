"""What people give: the formats, the rules of hygiene, how they agree, and readers of other formats."""
