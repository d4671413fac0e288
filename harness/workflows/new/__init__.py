"""An experiment that suits a folder of images: look at it, decide with reasons, write the file."""
