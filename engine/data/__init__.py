"""What is traded: bars, read from files, with their times, their clock and their cells."""
