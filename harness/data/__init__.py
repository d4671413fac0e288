"""Images in folders: listing, checking, decoding, transforming, splitting, and loading them in batches."""
