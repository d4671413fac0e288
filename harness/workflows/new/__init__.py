"""`harness new`: looks at a folder of images, suggests an experiment with reasons, and writes its file."""
