"""From a selected context to what a kind of provider likes to read. Pure."""
