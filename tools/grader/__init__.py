"""A grader that strangers' code cannot break: what runs where, and what crosses between.

The grader (trusted: reads files, judges, writes marks) starts a *hull* (:mod:`.hull`) with a
*zygote* in it: a process that has torch loaded and holds no secret (:mod:`.worker`). For each
submission the zygote forks a process that shuts itself in (:mod:`.kernel`) and runs the cells.
Only frames of plain data cross (:mod:`.wire`). A hidden test sees a :class:`.asking.Student`.
"""
