"""The image, really built and run: see CONTRIBUTING.md, `make test-image`."""
