//! How a frontend talks to a database group: routing, failover, retries with the same idempotency key.
