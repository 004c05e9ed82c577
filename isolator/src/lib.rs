//! Which container uses which volume, durably: ledger, records and effects of the isolator
