"""What every process of Roundhouse tells of itself."""
