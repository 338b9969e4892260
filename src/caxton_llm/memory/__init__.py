"""Memory: what is known of the world and what was said, found again by meaning and by words.

This package decides and describes: the records, what a duplicate is, how versions are kept, what a filter means. Stores
(`caxton_llm.stores`) keep the records and find candidates; nothing here touches a disk.
"""
