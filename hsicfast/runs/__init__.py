"""What a run keeps on disk, who may write there, and who follows it."""
