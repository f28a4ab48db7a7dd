//! The command lines `buyer` and `seller`. They use the library as anyone would, and add what people need: arguments,
//! tables, a remembered session, and an interactive shell.

mod account;
mod arguments;
mod buyer;
mod failure;
mod hints;
mod items;
mod key_values;
mod paging;
mod password;
mod program;
mod run;
mod seller;
mod servers;
mod session_file;
mod shell;
mod shown;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::{BuyerClient, SellerClient};

/// The whole of the program `buyer`.
pub fn buyer_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run::main::<BuyerClient>(args)
}

/// The whole of the program `seller`.
pub fn seller_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run::main::<SellerClient>(args)
}
