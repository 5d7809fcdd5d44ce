"""Files that tests of reading write, and what shows that reading changed none of them."""

import hashlib
import json


def written(path, content):
    """Write a text, or anything else as JSON, with the folders above it; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def bytes_in(folder):
    """The names of all files in a folder, with the checksums of their bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
