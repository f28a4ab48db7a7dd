//! The database node: one member of the customer or of the product group.
