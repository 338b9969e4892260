"""Writes the o200k vocabulary into the package, from the ranks of the npm package `js-tiktoken` (MIT).

    npm pack js-tiktoken && tar xzf js-tiktoken-*.tgz
    python scripts/build_vocabulary.py package/dist/ranks/o200k_base.js

The result is checked against the sha256 that tiktoken itself expects of the file that OpenAI publishes.
"""

import base64
import hashlib
import json
import lzma
import re
import sys
from pathlib import Path

SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
TARGET = Path(__file__).parents[1] / "src/caxton_llm/tokens/o200k_base.tiktoken.xz"


def main(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    match = re.search(r'"bpe_ranks":("(?:[^"\\]|\\.)*")', text)
    if match is None:
        sys.exit(f"{source} holds no bpe_ranks")
    lines: list[str] = []
    for row in json.loads(match.group(1)).split("\n"):
        _, start, *tokens = row.split(" ")
        lines += [f"{token} {rank}" for rank, token in enumerate(tokens, int(start))]
        for token in tokens:
            base64.b64decode(token, validate=True)
    data = ("\n".join(lines) + "\n").encode("ascii")
    if hashlib.sha256(data).hexdigest() != SHA256:
        sys.exit("the vocabulary is not the one that OpenAI publishes")
    TARGET.write_bytes(lzma.compress(data, preset=9))
    print(f"{TARGET}: {len(lines)} tokens, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
