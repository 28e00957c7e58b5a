"""What the commands do with an app: look, audit, rebuild, replay."""
