"""What people wait for, measured by asv: ``asv run --quick -E existing --config benches/asv.conf.json``."""
