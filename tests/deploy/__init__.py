"""What is in deploy/ and docker-compose.yml fits the program; nothing here needs a container."""
