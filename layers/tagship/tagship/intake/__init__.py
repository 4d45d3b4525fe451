"""What was uploaded, in the versions in which it was found, and the application's configuration at that moment."""
