"""Images of generators that were not made here become a synthetic cohort.

:func:`bussynth.wrapping.cohort.wrap_source` takes a folder of finished images, a pipeline folder
of diffusers, or a sampler in TorchScript or ONNX (:mod:`bussynth.wrapping.spec` has its contract).
"""
