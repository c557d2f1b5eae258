"""NetsPresso's configuration files, read as ours.

``rewrite`` turns its spellings of the model section into ours, so that such a file loads like any other. The
other files of its set have sections of the same names with other contents (``data``, ``training``); they are
translated by ``foveal convert`` only (``translate``). Facts are from Nota-NetsPresso/netspresso-trainer:
``config/``, ``docs/components/`` and, below ``src/netspresso_trainer/``, the sources named in each module.
"""

from foveal.config.netspresso.ledger import Entry, Ledger, Note, walk
from foveal.config.netspresso.model import rewrite, rewrite_model

__all__ = ["Entry", "Ledger", "Note", "rewrite", "rewrite_model", "walk"]
