"""One page of HTML about a study: its values, its figures, its template."""
