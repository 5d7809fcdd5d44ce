"""The devices that a training runs on: processes side by side, what they exchange, and what fails of the machine."""
