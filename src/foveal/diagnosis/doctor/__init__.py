"""``foveal doctor``: what is wrong with pictures and labels, where, and what to do.

``check`` runs every rule; ``rulebook`` lists them; one idea a file besides.
"""
