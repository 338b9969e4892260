"""The default embedder: what its vectors promise, odd texts, damaged folders."""

import hashlib
import json
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from caxton_llm import ConfigurationError
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.embedder import TokenVectors
from caxton_llm.memory.embedding.static import StaticEmbedder
from caxton_llm.memory.embedding.tensors import UnreadableTensors, read_tensors
from caxton_llm.memory.embedding.tokenizer import MAX_CHARACTERS, TextTokenizer

DATA = Path(str(files("caxton_llm.memory.embedding") / "data"))
EMBEDDER = StaticEmbedder.default()
PLAIN = Tokenizer.from_file(str(DATA / "tokenizer.json"))


def cosine(first: str, second: str) -> float:
    one, other = EMBEDDER.embed([first, second])
    return float(one @ other)


def folder_with(tmp_path: Path, rows: np.ndarray, words: list[str], **tensors: np.ndarray) -> Path:
    """A model2vec folder of whole words."""
    model = {"type": "WordLevel", "vocab": {word: number for number, word in enumerate(words)}, "unk_token": "[UNK]"}
    described = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(packed({"embeddings": rows, **tensors}))
    return tmp_path


def packed(tensors: dict[str, np.ndarray]) -> bytes:
    kinds = {"float32": "F32", "float16": "F16", "int8": "I8", "int64": "I64", "uint16": "BF16"}
    header, body = {}, b""
    for name, tensor in tensors.items():
        data = tensor.tobytes()
        shape, offsets = list(tensor.shape), [len(body), len(body) + len(data)]
        header[name] = {"dtype": kinds[str(tensor.dtype)], "shape": shape, "data_offsets": offsets}
        body += data
    head = json.dumps({"__metadata__": {"format": "np"}, **header}).encode()
    return len(head).to_bytes(8, "little") + head + body


def test_the_data_in_the_package_is_what_its_provenance_says() -> None:
    provenance = json.loads((DATA / "PROVENANCE.json").read_text(encoding="utf-8"))
    assert provenance["licence"] == "Apache-2.0"
    for name, expected in provenance["sha256"].items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == expected


def test_it_is_an_embedder_and_a_source_of_token_vectors_with_a_version_in_its_name() -> None:
    assert isinstance(EMBEDDER, Embedder)
    assert isinstance(EMBEDDER, TokenVectors)
    assert EMBEDDER.name == "all-MiniLM-L6-v2-static-256@1"
    assert EMBEDDER.dimensions == 256
    assert StaticEmbedder.default() is EMBEDDER


def test_texts_of_one_meaning_are_nearer_than_texts_of_another() -> None:
    assert cosine("The physician prescribed a medicine", "a doctor gave him a drug") > 0.4
    assert cosine("The physician prescribed a medicine", "the train departs at nine") < 0.2


def test_function_words_hardly_move_a_text() -> None:
    assert cosine("What is it that the doctor would recommend to me?", "doctor recommend") > 0.9


@given(st.lists(st.text(max_size=60), max_size=6))
def test_vectors_have_length_1_or_are_zero_and_do_not_depend_on_the_batch(texts: list[str]) -> None:
    vectors = EMBEDDER.embed(texts)
    assert vectors.shape == (len(texts), 256)
    assert vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()
        assert np.array_equal(vector, EMBEDDER.embed([text])[0])


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=80) | st.text(max_size=40))
def test_words_have_the_tokens_that_the_tokenizer_gives(text: str) -> None:
    sound = text.encode("utf-8", "replace").decode("utf-8")
    expected = PLAIN.encode(sound, add_special_tokens=False).ids
    unknown = PLAIN.token_to_id("[UNK]")
    assert EMBEDDER.tokens(text).tolist() == [number for number in expected if number != unknown]


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b",
        "a\x0bb",
        "a\tb\nc",
        "[UNK] [PAD]",
        "x" * 70,
        "x" * 101,
        "8" * 100,
        "entity 57213",
        "antidisestablishmentarianism ##s",
        "don't",
        "C++",
        "na\u00efve caf\u00e9",
        "\ud800 half",
    ],
)
def test_odd_texts_have_the_tokens_that_the_tokenizer_gives(text: str) -> None:
    unknown = PLAIN.token_to_id("[UNK]")
    expected = PLAIN.encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False).ids
    assert EMBEDDER.tokens(text).tolist() == [number for number in expected if number != unknown]


@pytest.mark.parametrize("text", ["", "   ", "\n", "\U0001f600\U0001f600", "\ud83d"])
def test_a_text_without_a_known_token_is_a_row_of_zeros(text: str) -> None:
    assert EMBEDDER.tokens(text).tolist() == [] or not set(text) - {"\ud83d"}
    assert not EMBEDDER.embed([""])[0].any()
    assert np.isfinite(EMBEDDER.embed([text])).all()


def test_chinese_is_read_character_by_character() -> None:
    assert len(EMBEDDER.tokens("中国人")) >= 2
    assert cosine("中国", "中国人") > cosine("中国", "the train departs")


@pytest.mark.parametrize("unit", ["word ", "a", "中", "\U0001f600", "\x00"])
def test_a_text_of_a_megabyte_is_read_up_to_a_limit(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert len(EMBEDDER.tokens(text)) <= MAX_CHARACTERS
    assert np.array_equal(EMBEDDER.embed([text]), EMBEDDER.embed([text[:MAX_CHARACTERS]]))


def test_a_long_text_has_the_vector_that_adding_its_tokens_one_by_one_gives() -> None:
    text = "the quick brown fox jumps over the lazy dog " * 400
    ids = EMBEDDER.tokens(text)
    assert len(ids) > 2048
    halves = EMBEDDER.embed_tokens(ids[: len(ids) // 400])
    assert np.allclose(EMBEDDER.embed([text])[0], halves, atol=1e-4)


def test_no_texts_give_no_rows() -> None:
    assert EMBEDDER.embed([]).shape == (0, 256)


def test_token_cosines_are_1_for_the_same_token_and_within_bounds() -> None:
    ids = EMBEDDER.tokens("doctor physician train the")
    cosines = EMBEDDER.token_cosines(ids, ids)
    assert np.allclose(np.diagonal(cosines), 1, atol=1e-5)
    assert np.all(np.abs(cosines) <= 1 + 1e-5)
    assert cosines[0, 1] > cosines[0, 2]


def test_any_model2vec_folder_can_be_loaded(tmp_path: Path) -> None:
    rows = np.array([[0, 0], [1, 0], [0, 1]], np.float16)
    embedder = StaticEmbedder.from_folder(folder_with(tmp_path, rows, ["[UNK]", "red", "blue"]))
    expected = np.array([[1, 0], [0, 1], [0.5**0.5, 0.5**0.5], [0, 0]])
    assert np.allclose(embedder.embed(["red", "blue", "red blue", "green"]), expected)
    assert embedder.name.startswith(f"{tmp_path.name}@")


def test_weights_and_a_mapping_of_tokens_to_rows_are_applied(tmp_path: Path) -> None:
    rows = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    mapping = np.array([0, 1, 2, 2], np.int64)
    weights = np.array([1, 3, 4, 0], np.float32)
    words = ["[UNK]", "red", "blue", "azure"]
    embedder = StaticEmbedder.from_folder(folder_with(tmp_path, rows, words, weights=weights, mapping=mapping))
    assert np.allclose(embedder.embed(["red blue", "azure"]), np.array([[0.6, 0.8], [0, 0]]))


def test_another_table_has_another_name(tmp_path: Path) -> None:
    words = ["[UNK]", "red"]
    names = {
        StaticEmbedder.from_folder(folder_with(tmp_path, np.full((2, 2), value, np.float32), words)).name
        for value in (1.0, 2.0)
    }
    assert len(names) == 2


def test_a_folder_without_a_model_is_refused_with_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds model.safetensors and tokenizer.json"):
        StaticEmbedder.from_folder(tmp_path / "missing")


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"2 tokens in tokenizer.json, but 3 rows"):
        StaticEmbedder.from_folder(folder_with(tmp_path, np.ones((3, 2), np.float32), ["[UNK]", "red"]))


@pytest.mark.parametrize("words", [b"{", b"{}", b"\xff"])
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, words: bytes) -> None:
    folder = folder_with(tmp_path, np.ones((1, 2), np.float32), ["[UNK]"])
    (folder / "tokenizer.json").write_bytes(words)
    with pytest.raises(ConfigurationError, match=r"tokenizer.json cannot be read"):
        StaticEmbedder.from_folder(folder)


def test_a_damaged_config_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, np.ones((1, 2), np.float32), ["[UNK]"])
    (folder / "config.json").write_text('{"name": 3}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config.json cannot be read"):
        StaticEmbedder.from_folder(folder)


def test_a_table_cut_at_any_place_is_refused() -> None:
    whole = packed({"embeddings": np.arange(6, dtype=np.float32).reshape(3, 2)})
    assert math.isclose(float(read_tensors(whole)["embeddings"][2, 1]), 5)
    for end in range(len(whole)):
        with pytest.raises(UnreadableTensors):
            read_tensors(whole[:end])


def test_numbers_in_a_format_that_is_not_read_are_named() -> None:
    with pytest.raises(UnreadableTensors, match="BF16"):
        read_tensors(packed({"embeddings": np.ones((1, 1), np.uint16)}))


def test_a_tokenizer_that_is_not_berts_is_asked_for_whole_texts(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, np.ones((2, 1), np.float32), ["[UNK]", "Red"])
    tokenizer = TextTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")))
    assert tokenizer.ids("Red red").tolist() == [1]
