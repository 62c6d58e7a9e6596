"""What runs, tests and checks the project on a developer's machine. Nothing here is deployed."""
