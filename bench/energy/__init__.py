"""Energy per embedding, from the meters that a machine has."""
