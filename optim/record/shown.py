"""A note on a study, as Optuna's dashboard keeps and shows it: what optuna_dashboard.save_note writes.

Importing that package takes longer than a study; tests/record/test_shown.py reads the note with it.
"""

from __future__ import annotations

from optim.record.record import Record

VERSION, BODY = "dashboard:note_ver", "dashboard:note_str:0"
LENGTH = 2045  # characters: a longer note has further parts
OURS = "optim:shown"  # the last note that was written here: a reader's own is left alone


def show_note(record: Record, text: str) -> None:
    """Make `text`, in Markdown, the study's note, unless a reader has written one. Raises RecordError."""
    text = text[:LENGTH]
    before = record.noted(BODY) or ""
    if before == text or before not in ("", record.noted(OURS)):
        return
    record.note(OURS, text)
    record.note(BODY, text)
    record.note(VERSION, (record.noted(VERSION) or 0) + 1)
