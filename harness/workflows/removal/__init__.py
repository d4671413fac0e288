"""Which runs take room, which must stay, and the removal of others."""
