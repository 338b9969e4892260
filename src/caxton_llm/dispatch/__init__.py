"""One request on its way to whichever target can answer it."""
