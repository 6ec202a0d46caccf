"""How Sphinx builds the site; `.ci/docs` runs it."""

import sys
from pathlib import Path

import blockquant

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "blockquant"
author = "the authors of blockquant"
copyright = "the authors of blockquant, MIT or Apache-2.0"
version = release = blockquant.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "figures",
    "mathml",
    "public",
    "rustdoc",
]
exclude_patterns = ["_*"]
nitpicky = True
smartquotes = False  # `--bits` is an option, not a dash
# Only this package's names are linked: the inventories of others would have to be fetched.
nitpick_ignore_regex = [(r"py:.*", r"(?!blockquant).*")]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_dmath_allow_labels = False

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
# Types are numpydoc's words ("array_like, (n, dim)"): plain text, not references to look up.
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "blockquant"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
# System fonts only: a page fetches nothing from anywhere else.
_SERIFLESS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
_EVEN = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {
        "font-stack": _SERIFLESS,
        "font-stack--monospace": _EVEN,
        "color-brand-primary": "#005f99",
        "color-brand-content": "#005f99",
        "color-brand-visited": "#6a3d8f",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cb8ee",
        "color-brand-content": "#6cb8ee",
        "color-brand-visited": "#c39be0",
    },
}
