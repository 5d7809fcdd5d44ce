"""What Hydra asks of us: sweeps over any Hydra program, multiruns compared, knobs and names answered."""
