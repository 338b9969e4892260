"""The configuration reference says everything about every key, and the committed page is up to date."""

from pathlib import Path

import msgspec.inspect as kinds
import pytest
from msgspec import Struct

from caxton_llm.config.reference import BLOCKS, key_meanings, render
from caxton_llm.config.schema import SHARED_KEYS, ConfigurationFile, LlmBlock, ProviderEntry, ToolContextFile

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def blocks_under(kind: kinds.Type) -> set[type]:
    match kind:
        case kinds.StructType():
            return {kind.cls}.union(*(blocks_under(field.type) for field in kind.fields))
        case kinds.UnionType():
            return set().union(*(blocks_under(option) for option in kind.types))
        case kinds.VarTupleType() | kinds.ListType():
            return blocks_under(kind.item_type)
        case kinds.DictType():
            return blocks_under(kind.value_type)
    return set()


def test_the_committed_page_is_what_the_types_say() -> None:
    stale = "docs/configuration.md is stale: run scripts/config_reference.py"
    assert PAGE.read_text(encoding="utf-8") == render(), stale


@pytest.mark.parametrize("block", list(BLOCKS), ids=lambda block: block.__name__)
def test_every_key_has_a_meaning(block: type[Struct]) -> None:
    assert [key for key, meaning in key_meanings(block).items() if not meaning] == []


def test_every_block_that_a_file_may_contain_is_on_the_page() -> None:
    reachable = blocks_under(kinds.type_info(ConfigurationFile)) | blocks_under(kinds.type_info(ToolContextFile))
    assert reachable == set(BLOCKS)


def test_every_key_of_every_block_is_on_the_page() -> None:
    page = render()
    for block in BLOCKS:
        for key in block.__struct_fields__:
            assert f"| `{key}` |" in page


def test_shared_keys_are_keys_of_an_entry_that_are_unset_by_default() -> None:
    entry = ProviderEntry(provider="builtin")
    assert all(getattr(entry, key) is None for key in SHARED_KEYS)
    assert set(ProviderEntry.__struct_fields__) < set(LlmBlock.__struct_fields__)
