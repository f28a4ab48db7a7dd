//! The customer database: accounts, sessions, carts and purchases as a pure state machine.
