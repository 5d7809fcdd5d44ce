"""Shows people what an analysis found: pictures, the HTML page, tables for the terminal, the dashboard."""
