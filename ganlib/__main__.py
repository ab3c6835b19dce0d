"""``python -m ganlib``: train, sample and score from the command line (:mod:`ganlib.command`)."""

from ganlib.command import main

if __name__ == "__main__":
    raise SystemExit(main())
