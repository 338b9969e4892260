"""`/api/v1/conversations`: stored conversations over HTTP. This module lists the operations."""

from caxton_llm.agents.conversation import Removed
from caxton_llm.caxton import Caxton
from caxton_llm.server.conversations.endpoints import ConversationEndpoints
from caxton_llm.server.conversations.shapes import (
    AllOfTenantQuery,
    ConversationList,
    ConversationListQuery,
    ConversationQuery,
    ExportConversationsQuery,
    ImportConversationsQuery,
    WholeConversation,
)
from caxton_llm.server.conversations.work import ConversationWork
from caxton_llm.server.failures import FailureLog
from caxton_llm.server.operation import NoBody, Operation, operation
from caxton_llm.stores.conversations.transfer import ImportedConversations

__all__ = ["CONVERSATIONS_PATH", "conversation_operations"]

CONVERSATIONS_PATH = "/api/v1/conversations"


def conversation_operations(caxton: Caxton, work: ConversationWork, failures: FailureLog) -> list[Operation]:
    """All operations of conversations. Export and import come first, because a conversation may have any name."""
    endpoints = ConversationEndpoints(caxton, work, failures)
    return [*_transfer(endpoints), *_of_all(endpoints), *_of_one(endpoints)]


def _transfer(endpoints: ConversationEndpoints) -> list[Operation]:
    return [
        operation(
            "GET",
            f"{CONVERSATIONS_PATH}/export",
            "Conversations as JSON Lines",
            endpoints.export,
            query=ExportConversationsQuery,
            body=NoBody,
            answer=None,
        ),
        operation(
            "POST",
            f"{CONVERSATIONS_PATH}/import",
            "Import JSON Lines of an export",
            endpoints.load,
            query=ImportConversationsQuery,
            body=NoBody,
            takes="lines",
            answer=ImportedConversations,
        ),
    ]


def _of_all(endpoints: ConversationEndpoints) -> list[Operation]:
    return [
        operation(
            "GET",
            CONVERSATIONS_PATH,
            "List conversations",
            endpoints.list_conversations,
            query=ConversationListQuery,
            body=NoBody,
            answer=ConversationList,
        ),
        operation(
            "DELETE",
            CONVERSATIONS_PATH,
            "Delete all conversations of a tenant or of one of its agents for good",
            endpoints.delete_all,
            query=AllOfTenantQuery,
            body=NoBody,
            answer=Removed,
        ),
    ]


def _of_one(endpoints: ConversationEndpoints) -> list[Operation]:
    one = f"{CONVERSATIONS_PATH}/{{id}}"
    return [
        operation(
            "GET",
            one,
            "A conversation with its exchanges",
            endpoints.read,
            query=ConversationQuery,
            body=NoBody,
            answer=WholeConversation,
        ),
        operation(
            "DELETE",
            one,
            "Delete a conversation for good",
            endpoints.delete,
            query=ConversationQuery,
            body=NoBody,
            answer=Removed,
        ),
    ]
