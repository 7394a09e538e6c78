"""Renderers: Records in, text out. They only render; nothing is measured or decided here."""
