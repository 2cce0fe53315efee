"""Models on their way to where they run: images for containers."""
