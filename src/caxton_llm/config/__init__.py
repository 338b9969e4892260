"""Configuration: what people write (`schema`), how it is read (`load`), what the program uses (`configuration`).

The only part of the program that knows the environment and the files of an operator.
"""
