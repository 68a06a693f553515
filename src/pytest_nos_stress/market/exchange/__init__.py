"""The embedded exchange: order book, accounts, audit and market maker."""
