//! The product database: items, search, stock, reservations and feedback as a pure state machine.
