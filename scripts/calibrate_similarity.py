"""Measures how the default embedder's cosines spread, writes its calibration and prints a report.

    python scripts/calibrate_similarity.py [--folder a/model2vec/folder]

With `--folder` another static embedder is measured and nothing is written. See `caxton_llm.memory.embedding.calibration`
for what the scale means.
"""

import argparse
from pathlib import Path

import msgspec
import numpy as np

from caxton_llm.memory.embedding.calibration import calibrate, calibration_pairs
from caxton_llm.memory.embedding.static import StaticEmbedder

TARGET = Path(__file__).parents[1] / "src/caxton_llm/memory/embedding/data/calibration.json"
REPORTED = (0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder
    embedder = StaticEmbedder.from_folder(folder) if folder else StaticEmbedder.default()
    calibration = calibrate(embedder)
    questions, statements = zip(*calibration_pairs(), strict=True)
    cosines = embedder.embed(questions) @ embedder.embed(statements).T
    related, unrelated = np.diagonal(cosines), cosines[~np.eye(len(cosines), dtype=bool)]
    print(f"{embedder.name}: {len(related)} related pairs, {len(unrelated)} unrelated ones")
    print("similarity  cosine  unrelated that pass  related that pass")
    for similarity in REPORTED:
        cosine = calibration.cosine(similarity)
        print(
            f"{similarity:10.2f} {cosine:7.3f} {(unrelated >= cosine).mean():20.2%} {(related >= cosine).mean():18.0%}"
        )
    first = (cosines.argmax(axis=1) == np.arange(len(cosines))).mean()
    print(f"questions whose own statement is the nearest: {first:.0%}")
    if folder is None:
        TARGET.write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=2) + b"\n")
        print(f"written to {TARGET}")


if __name__ == "__main__":
    main()
