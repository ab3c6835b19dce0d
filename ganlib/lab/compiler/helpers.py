"""C functions that some loops call; a module holds those that it uses."""

from __future__ import annotations

__all__ = ["used_helpers"]

# A number that no result can be computed from stops the module: a trap in WebAssembly. A shared
# library notes it, goes on with a harmless number, and its caller looks at the note.
_STOP = """\
#ifdef __wasm__
#define STOP(harmless) __builtin_trap()
#else
EXPORT("stopped") int stopped;
#define STOP(harmless) (stopped = 1, harmless)
#endif
"""

_HELPERS = {
    # An index counted from 0; from_end takes a negative one first.
    "place": """\
static inline int place(int64_t i, int n) {
  if ((uint64_t)i >= (uint64_t)n) STOP(i = 0);
  return (int)i;
}
""",
    "from_end": """\
static inline int from_end(int64_t i, int n) { return place(i < 0 ? i + n : i, n); }
""",
    # Division as C has it, rounded towards zero, and defined for every pair but a divisor of 0.
    "quotient": """\
static inline int64_t quotient(int64_t a, int64_t b) {
  if (b == 0) STOP(b = 1);
  return b == -1 ? -a : a / b;
}
""",
    "rest": """\
static inline int64_t rest(int64_t a, int64_t b) {
  if (b == 0) STOP(b = 1);
  return b == -1 ? 0 : a % b;
}
""",
    "power": """\
static int64_t power(int64_t a, int64_t n) {
  if (n < 0) return a == 1 ? 1 : a != -1 ? 0 : n & 1 ? -1 : 1;
  int64_t p = 1;
  for (; n; n >>= 1, a *= a)
    if (n & 1) p *= a;
  return p;
}
""",
}


def used_helpers(kernels: str) -> str:
    """The helpers that a module's loops call, those that they call in turn, and what these need."""
    chosen: list[str] = []
    text = kernels
    for name in reversed(_HELPERS):
        if f"{name}(" in text:
            chosen.insert(0, _HELPERS[name])
            text += _HELPERS[name]
    return "".join([_STOP, *chosen]) if chosen else ""
