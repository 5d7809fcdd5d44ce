"""The documentation site: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT)]

project = "hsicfast"
author = "The hsicfast authors"
copyright = "2026, the hsicfast authors"
release = version = version_of("hsicfast")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "results",
    "outside",
    "links",
    "mathml",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "results", "_ext", "gallery/*.ipynb", "gallery/*.py", "gallery/*.md5"]
templates_path = ["_templates"]
# Single backticks name a parameter, as in numpydoc.
default_role = "literal"

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # docstrings say the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # docs/_templates/autosummary/class.rst has the members

# Every link inside the site must resolve. Names of other packages and of inner modules, which have no page, need not.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|np|pandas|pd|optuna|matplotlib|torch|scipy|hsicfast\.[a-z_]+\..*|hsicfast\.[a-z]+)(\..*)?"),
    (r"py:.*", r"(Hyperparameter|Executor|Strategy|Findings|Conclusions|Task|Sweeper|Watcher)(\..*)?"),
    (r"py:obj", r"[a-z_0-9]+"),  # an attribute that its docstring alone describes
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"^(?!.*(own_lightning_module|lora)).*\.py$",  # these train for minutes
    "ignore_pattern": r"own_project|__init__",
    "within_subsection_order": "outside.GalleryOrder",
    "image_scrapers": ("outside.figures",),
    "reset_modules": (),
    "capture_repr": (),
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 0,
    "plot_gallery": "True",
    "abort_on_example_error": True,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "hsicfast"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
