"""What a run keeps on disk, who may write it, who hears of it."""
