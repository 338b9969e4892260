"""Texts that are too long for a window: cut at their seams, read in parts, shortened, summarised. Pure."""
