"""The whole book as one PDF, made from the built site: ``python -m tools.pdf`` (``make pdf``).

Nothing is executed again. `assemble` makes one document of the site's pages, `style` its print
style, `chromium` prints it twice (the second time with the page numbers that the first gave), and
`finish` says in the file what a reader's program wants to know, and checks it.
"""
