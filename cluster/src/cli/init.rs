//! `init`: prints a cluster file to start from.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use agora_process::{ClusterFile, Endpoint};
use clap::Args;

use crate::cli::out;
use crate::plan::{HIGHEST_BASE, STANDARD_BASE, standard};

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The IP address of a machine; repeat it for each. The processes are dealt out to the machines in turn, so that
    /// each database survives the loss of a machine if there are three or more. Without: one machine, 127.0.0.1.
    #[arg(long, value_name = "IP")]
    host: Vec<IpAddr>,
    /// Shifts all ports: 7000 is the standard.
    #[arg(long, value_name = "PORT", default_value_t = STANDARD_BASE, value_parser = clap::value_parser!(u16).range(1..=HIGHEST_BASE.into()))]
    base_port: u16,
    /// Where the processes keep their data.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

pub fn init(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let mut file = standard(args.base_port, args.data.clone())?;
    deal_out(&mut file, &args.host);
    file.validate()?;
    out::line(
        "# The same file serves every machine. On each of them: `cluster up --config FILE` starts the processes whose",
    );
    out::line("# addresses belong to it.");
    out::line(&file.to_toml()?);
    Ok(ExitCode::SUCCESS)
}

fn deal_out(file: &mut ClusterFile, hosts: &[IpAddr]) {
    let Some(first) = hosts.first() else { return };
    let deal = |endpoints: &mut Vec<Endpoint>| {
        for (endpoint, host) in endpoints.iter_mut().zip(hosts.iter().cycle()) {
            endpoint.address.set_ip(*host);
        }
    };
    deal(&mut file.customer);
    deal(&mut file.product);
    deal(&mut file.seller);
    deal(&mut file.buyer);
    file.financial.address = SocketAddr::new(*first, file.financial.address.port());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_machine_has_a_majority_of_a_database_when_there_are_three() {
        let mut file = standard(STANDARD_BASE, "data".into()).unwrap();
        let hosts: Vec<IpAddr> = (1..=3).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        deal_out(&mut file, &hosts);
        file.validate().unwrap();
        for host in hosts {
            for group in [&file.customer, &file.product] {
                assert!(group.iter().filter(|node| node.address.ip() == host).count() <= 2);
            }
        }
    }
}
