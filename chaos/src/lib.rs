//! Breaks a cluster on purpose and checks what it promised.
