"""Makes `related.npz` beside the default embedder's data: for each token those that are related to it.

    PYTHONPATH=src python scripts/make_related_tokens.py

To be run after `make_embedding.py`; takes a minute on one core. `PROVENANCE.json` gets its checksum.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from caxton_llm.memory.embedding.related import RelatedTokens
from caxton_llm.memory.embedding.static import StaticEmbedder

TARGET = Path(__file__).parents[1] / "src/caxton_llm/memory/embedding/data"


def main() -> None:
    embedder = StaticEmbedder.from_folder(TARGET)
    every = np.arange(embedder.vocabulary_size, dtype=np.int32)
    data = RelatedTokens.computed(every, embedder.vocabulary_size, embedder.token_cosines).written()
    (TARGET / "related.npz").write_bytes(data)
    provenance = json.loads((TARGET / "PROVENANCE.json").read_text(encoding="utf-8"))
    provenance["sha256"]["related.npz"] = hashlib.sha256(data).hexdigest()
    (TARGET / "PROVENANCE.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    print(f"{TARGET / 'related.npz'}: {len(data)} bytes")


if __name__ == "__main__":
    main()
