"""``python -m bussynth`` is the same as the ``bussynth`` script."""

from bussynth.cli import main

if __name__ == "__main__":
    main()
