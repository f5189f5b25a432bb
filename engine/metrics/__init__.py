"""What came of it: every metric by name, measured, and put together over cells."""
