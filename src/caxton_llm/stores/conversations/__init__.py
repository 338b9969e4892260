"""Conversations in a folder: threads of exchanges and their summaries in one SQLite database."""

from caxton_llm.stores.conversations.store import ConversationStore

__all__ = ["ConversationStore"]
