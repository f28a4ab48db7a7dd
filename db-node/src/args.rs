//! The command line of a database node.

use std::path::PathBuf;

use agora_process::Role;
use clap::{Parser, ValueEnum};

/// One member of a database group. It listens at the address that the cluster file gives it, and keeps its data there
/// below the cluster's data directory.
#[derive(Debug, Parser)]
#[command(name = "db-node", version)]
pub(crate) struct Args {
    /// Which database.
    pub(crate) database: Kind,
    /// The node's name in the cluster file, as in customer-1.
    #[arg(long)]
    pub(crate) name: String,
    /// The cluster file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// The two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Accounts, sessions, carts, purchases; replicated by atomic broadcast.
    Customer,
    /// Items, search, stock, reservations, feedback; replicated by Raft.
    Product,
}

impl Kind {
    pub(crate) fn role(self) -> Role {
        match self {
            Kind::Customer => Role::Customer,
            Kind::Product => Role::Product,
        }
    }

    /// As nodes and data directories call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Customer => "customer",
            Kind::Product => "product",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["db-node", "product", "--name", "product-1", "--config", "c.toml"])
            .unwrap();
        assert_eq!((args.database, args.name.as_str()), (Kind::Product, "product-1"));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for wrong in [
            vec!["db-node"],
            vec!["db-node", "orders", "--name", "x", "--config", "c"],
            vec!["db-node", "product"],
        ] {
            assert!(Args::try_parse_from(wrong).is_err());
        }
    }
}
