"""Benchmarks: how fast the stages run, as ratios against a peer or a limit."""
