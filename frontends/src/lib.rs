//! The stateless frontends: REST for buyers and sellers, the purchase saga, and the financial service.
