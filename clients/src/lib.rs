//! The failover client library of the marketplace, and the buyer and seller command lines.
