"""Quality of generators: ablations, few cases, and how many steps sampling needs.

Each module is a command that takes a split real cohort and a working folder, keeps what it has
done there, and prints a table. Interrupted, the same command goes on.
"""
