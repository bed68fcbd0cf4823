"""Conditional diffusion model of grey images: train, sample, generate cohorts.

The parts, in the order data flow through them: ``transform`` (images to Haar bands),
``conditions`` (what is asked for), ``network`` and ``diffusion`` (the model), ``training``,
``sampler``, ``prior`` (which conditions to ask for), ``storage`` (the model folder),
``generator`` (the object users hold) and ``generate`` (model folder to synthetic cohort).
"""
