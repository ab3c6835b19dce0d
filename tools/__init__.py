"""What builds, serves and checks the book. No mathematics lives here."""
