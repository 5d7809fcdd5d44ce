"""How much one variable depends on another: HSIC, its engines chosen, its inference."""
