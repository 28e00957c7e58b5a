"""Reading, admin and producing: what speaks to brokers."""
