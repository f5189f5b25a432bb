"""What the user sees: tables in the terminal, JSON for machines, a page for readers."""
