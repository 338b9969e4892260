"""The memory of the configuration as people write it."""

from typing import Annotated, Literal

from msgspec import Meta

from caxton_llm.providers.settings import Count, SecretReference, SettingsBlock

__all__ = [
    "EmbedderBlock",
    "EmbedderType",
    "MemoryBlock",
    "MemoryRetentionBlock",
    "MemorySearchBlock",
    "MemoryWeightsBlock",
]

EmbedderType = Literal["static", "model2vec", "sentence_transformers", "openai", "ollama"]
Weight = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]


class EmbedderBlock(SettingsBlock, frozen=True, kw_only=True):
    """What turns texts into vectors. `static`: the package's own, without network and without a model to install.
    `model2vec`, `sentence_transformers`: a model in a folder. `openai`: any server with OpenAI's `/v1/embeddings`. `ollama`:
    Ollama's `/api/embed`.

    After a change everything is embedded anew in the background, while the previous embedder serves.
    """

    type: EmbedderType = "static"
    """The kind of embedder."""
    path: str | None = None
    """`model2vec`, `sentence_transformers`: the model's folder."""
    provider: str | None = None
    """`openai`, `ollama`: take address, key and connection settings from the entry of this name under `llm`."""
    base_url: str | None = None
    """`openai`, `ollama`: the server's address, with or without `/v1`. Default: OpenAI's, or Ollama on this machine."""
    api_key: str | SecretReference | None = None
    """`openai`, `ollama`: the server's key, if it wants one. Default: the vendor's usual variable, for its own hosts only."""
    model: str | None = None
    """`openai`, `ollama`: the embedding model."""
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    """`openai`, `ollama`: numbers in a vector, for models that let one choose. Default: as many as the model gives."""
    batch_size: Annotated[int, Meta(ge=1, le=2048)] | None = None
    """`openai`, `ollama`: texts in one request. Default 64."""
    timeout_seconds: Positive | None = None
    """`openai`, `ollama`: how long one request may take; failed ones are repeated. Default 30."""


class MemoryWeightsBlock(SettingsBlock, frozen=True, kw_only=True):
    """What counts how much when results are put in order, in standard deviations of the candidates' scores. What is not
    given has the default that was measured."""

    lexical: Weight | None = None
    """Words that a record shares with the query."""
    dense: Weight | None = None
    """What a record is about as a whole."""
    late: Weight | None = None
    """The query's words against the record's, each by its meaning."""
    neighbours: tuple[Weight, ...] | None = None
    """Shares of their neighbours' score that turns of a conversation get, at distance 1, 2 and so on; `[]`: none."""
    late_neighbours: tuple[Weight, ...] | None = None
    """What a matching word of a neighbour counts in place of the turn's own, at distance 1, 2 and so on; `[]`: nothing."""
    named: Weight | None = None
    """What a record gains whose name, or whose speaker, the query names."""
    dated: Weight | None = None
    """What a record gains that is from a time that the query names."""
    question: Weight | None = None
    """What a turn loses that itself asks."""
    recency: Weight | None = None
    """What a record gains by being new."""
    recency_half_life_days: Positive | None = None
    """The age at which half of that gain is left."""
    confidence: Weight | None = None
    """What a record of full confidence gains, and one without loses."""
    used: Weight | None = None
    """What a record gains that went into many answers."""
    relations: Weight | None = None
    """What an entity gains by relations to other good results."""


class MemorySearchBlock(SettingsBlock, frozen=True, kw_only=True):
    """How searches in the memory go that do not say otherwise."""

    max_results: Annotated[int, Meta(ge=1, le=1000)] = 10
    """The most results."""
    min_similarity: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Results below are left out; the same scale for every embedder: 0.7 is passed by one unrelated text in 100. Default:
    none are."""
    candidates: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """How many the words and the vectors propose each, before they are compared in detail. Default 64, or `max_results`."""
    weights: MemoryWeightsBlock = MemoryWeightsBlock()
    """What counts how much."""


class MemoryRetentionBlock(SettingsBlock, frozen=True, kw_only=True):
    """What may stay in the memory. Without a limit everything does."""

    max_age_days: Positive | None = None
    """Records that were not changed for so long are deleted."""
    max_records: Count | None = None
    """The newest so many of every owner stay."""


class MemoryBlock(SettingsBlock, frozen=True, kw_only=True):
    """What is known of the world and what was said, found again by meaning and by words. Without this block there is no
    memory."""

    enabled: bool = True
    """Whether there is a memory."""
    store: Literal["sqlite", "postgres"] = "sqlite"
    """`sqlite`: in a folder. `postgres`: in a PostgreSQL database with pgvector."""
    path: str | None = None
    """`sqlite`: the folder, which counts from that of the configuration file. Default `./caxton-memory`."""
    url: str | SecretReference | None = None
    """`postgres`: the database, as `postgresql://user:password@host/name`; a secret."""
    embedder: EmbedderBlock = EmbedderBlock()
    """What turns texts into vectors."""
    search: MemorySearchBlock = MemorySearchBlock()
    """How searches go."""
    retention: MemoryRetentionBlock = MemoryRetentionBlock()
    """What may stay."""
