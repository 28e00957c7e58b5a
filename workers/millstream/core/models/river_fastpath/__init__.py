"""River's arithmetic with fewer calls, bit for bit; `pipeline.ENABLED` turns it off."""
