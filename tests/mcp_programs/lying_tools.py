"""A server that says what the SDK would not let a server say: it speaks the protocol of 2025 by hand.

Its first argument is a JSON file:

    {"tools": [...], "results": {"tool name": result}, "say": {"method": text}, "end": "method"}

What `say` has for a method is written instead of an answer; `end` ends the program when the method is asked for.
"""

import json
import sys
from pathlib import Path
from typing import Any

script: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))


def result_of(message: dict[str, Any]) -> dict[str, Any] | None:
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "lying-tools", "version": "1"},
            }
        case "tools/list":
            return {"tools": script["tools"]}
        case "tools/call":
            result: dict[str, Any] = script["results"][message["params"]["name"]]
            return result
    return None


def answer_with(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


for line in sys.stdin:
    asked: dict[str, Any] = json.loads(line)
    if "id" not in asked:
        continue
    said = script.get("say", {}).get(asked["method"])
    if said is not None:
        answer_with(said)
        continue
    if script.get("end") == asked["method"]:
        sys.exit(0)
    answer = result_of(asked)
    outcome = {"error": {"code": -32601, "message": "Method not found"}} if answer is None else {"result": answer}
    answer_with(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **outcome}))
