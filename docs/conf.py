"""How the documentation is built: ``make docs``."""

import registry

project = "Caveat"
author = "The Caveat authors"
version = release = registry.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Caveat {release}"
# "Show source" would copy the pages a second time.
html_copy_source = False
