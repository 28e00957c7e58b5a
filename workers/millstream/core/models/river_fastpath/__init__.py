"""River's arithmetic with fewer calls, bit for bit."""
