//! SRV records: a resolver as a state machine (`connecting.md` 1.6).
