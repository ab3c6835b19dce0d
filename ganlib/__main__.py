"""``python -m ganlib``: train, sample, score, reproduce (:mod:`ganlib.command`)."""

from ganlib.command import main

if __name__ == "__main__":
    raise SystemExit(main())
