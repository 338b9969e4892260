"""A gateway with a memory beside its configuration, in a process of its own.

python memory_gateway.py -c FILE --port PORT
"""

import argparse
from pathlib import Path

from caxton_llm.config.load import load_file
from caxton_llm.memory_system import Memory
from caxton_llm.server.serve import ServeOptions, make_app, make_server


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("-c", dest="config", type=Path, required=True)
    asked.add_argument("--port", type=int, required=True)
    options = asked.parse_args()
    configuration = load_file(options.config)
    app = make_app(configuration, memory=Memory.open(options.config.parent / "memory"))
    make_server(app, configuration, ServeOptions(port=options.port)).run()


if __name__ == "__main__":
    main()
