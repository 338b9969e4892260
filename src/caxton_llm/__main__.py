"""`python -m caxton_llm` is `caxton`."""

from caxton_llm.cli import main

main()
