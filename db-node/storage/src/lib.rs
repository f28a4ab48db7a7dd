//! A durable log and a state store over sled.
