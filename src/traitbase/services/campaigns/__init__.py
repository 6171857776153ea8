"""Events and campaigns: what is sent, to whom, and the ledger of what became of it."""
