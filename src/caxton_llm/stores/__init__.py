"""Where things are kept: databases and files behind the protocols of the layers below."""
