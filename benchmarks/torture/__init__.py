"""Attacks on a live server: what `foveal serve` promises in S1 to S7 of docs/serve.md, a module per kind."""
