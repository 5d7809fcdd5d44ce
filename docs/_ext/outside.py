"""What comes from outside the folder of the pages: figures of examples, and texts that lie in the repository's root."""

import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

ROOT = Path(__file__).resolve().parents[2]
# Links of files in the root, and where the site has the same.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/sources.md": "sources.md",
    "examples": "gallery/index.rst",
}
LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./|[\w-]+/|[A-Z]+\.md)[^)\s]*)\)")


def figures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any], **options: Any) -> str:
    """Pictures of a block: the matplotlib figures among its variables that no earlier block has shown.

    Ours are no figures of pyplot, whose scraper would look for those alone.
    """
    shown = block_vars["example_globals"].setdefault("__shown__", [])
    paths = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Figure) and not any(value is one for one in shown):
            shown.append(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=144, bbox_inches="tight", facecolor="white")
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"], "") if paths else ""


class GalleryOrder:
    """Examples in the order in which they teach; new ones come last."""

    ORDER = (
        "own_csv", "reading_an_index", "noise_floor", "noise_only", "conditional_space", "exclusive_or",
        "several_edges", "safe_to_fix", "cost_against_error", "explain_the_best", "learning_curves", "optuna_study",
        "toy_search", "going_on", "stream", "anova_shares", "two_samples", "own_lightning_module", "lora",
    )  # fmt: skip

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> tuple[int, str]:
        name = Path(filename).stem
        return (self.ORDER.index(name) if name in self.ORDER else len(self.ORDER), name)


def relink(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links of a text that is read in the repository lead to the pages of the site, or become plain names of files."""

    def changed(match: re.Match[str]) -> str:
        text, target = match.groups()
        bare = target.removeprefix("../").rstrip("/")
        if docname == "sources" and target.startswith("../"):
            return text if text.startswith("`") else f"`{text}`" if "/" in text else text
        return match[0] if bare not in PAGES else f"[{text}]({PAGES[bare]})"

    if docname in ("sources",):
        source[0] = LINK.sub(changed, source[0])


def included(app: Sphinx, relative_path: Path, parent_docname: str, content: list[str]) -> None:
    """The same for an included text."""
    content[0] = LINK.sub(
        lambda match: f"[{match[1]}]({PAGES[match[2].rstrip('/')]})" if match[2].rstrip("/") in PAGES else match[0],
        content[0],
    )


def skipped(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what Python itself says of the fields of a named tuple; the docstring of the class describes them."""
    return True if str(getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", relink)
    app.connect("include-read", included)
    app.connect("autodoc-skip-member", skipped)
    return {"version": "1", "parallel_read_safe": True}
