"""What is made once of values that come again: by equality, by identity, and of things that follow each other."""
