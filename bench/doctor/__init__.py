"""What this device has, what it lacks, and which packages to install."""
