"""The pages: both dashboards, opened on a study."""
