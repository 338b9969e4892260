"""Embedders by configuration: those over HTTP, and from the settings of any to the embedder and its scale of similarity."""
