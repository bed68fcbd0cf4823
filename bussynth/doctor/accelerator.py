"""What torch computes on, and in which precision."""

from __future__ import annotations

from importlib.util import find_spec

from bussynth.doctor.finding import Finding

__all__ = ["look_at_accelerator"]

_NAME = "accelerator"


def look_at_accelerator() -> Finding:
    """A finding on GPUs; without torch there is nothing to find."""
    if find_spec("torch") is None:
        return Finding(name=_NAME, state="ok", text="not looked for, since torch is not installed")
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding(
            name=_NAME,
            state="problem",
            text=f"torch cannot be imported ({type(error).__name__})",
            remedy="pip install --force-reinstall torch",
        )
    built, data = torch.version.cuda or torch.version.hip, {"torch": torch.__version__}
    if not torch.cuda.is_available():
        text = f"none; float32 on the processor, {torch.get_num_threads()} threads"
        if built is None:
            return Finding(name=_NAME, state="ok", text=text, data=data)
        return Finding(
            name=_NAME,
            state="warning",
            text=f"{text}; torch was built for GPUs ({built}) and finds none",
            remedy="if there is one, look at its driver (nvidia-smi) and at CUDA_VISIBLE_DEVICES",
            data=data,
        )
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    names = ", ".join(f"{one.name} ({one.total_memory / 2**30:.0f} GiB)" for one in found)
    half = torch.cuda.is_bf16_supported(including_emulation=False)
    return Finding(
        name=_NAME,
        state="ok" if half else "warning",
        text=f"{names}; training in bfloat16, private training in float32",
        remedy=""
        if half
        else "it has no bfloat16 of its own, so training is slow; use --device cpu",
        data=data | {"gpus": [one.name for one in found], "bfloat16": half},
    )
