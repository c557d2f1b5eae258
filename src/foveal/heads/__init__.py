"""Head families. A family is one folder with four rooms: network, targets, criterion, decoder."""

from foveal.heads import anchor_decoupled

HEADS = {"anchor_decoupled_head": anchor_decoupled}
"""Name in the configuration -> family."""
