"""Memory: what was observed, found again by meaning and by word. Importing it loads nothing heavy."""
