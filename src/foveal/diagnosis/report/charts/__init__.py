"""Charts as SVG text: no script, no font, no colour of their own (classes, so that the page's scheme rules)."""
