//! Whether servers can exist at all: a mistyped name is told at once, and not after many tries to reach it.

use std::net::ToSocketAddrs;

use super::failure::CliError;

/// Finds a machine behind at least one of these servers, which are addresses as the library takes them.
pub(super) fn look_up(servers: &[String]) -> Result<(), CliError> {
    let mut unknown = Vec::new();
    for server in servers {
        let url = if server.contains("://") { server.clone() } else { format!("http://{server}") };
        let Ok(url) = reqwest::Url::parse(&url) else { continue };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { continue };
        match (host.trim_matches(['[', ']']), port).to_socket_addrs() {
            Ok(_) => return Ok(()),
            Err(error) => unknown.push(format!("\"{server}\" is no server that can be found: {error}")),
        }
    }
    Err(CliError::Local(unknown.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_has_is_told() {
        let nobody = "nobody.invalid:8201".to_owned();
        let error = look_up(std::slice::from_ref(&nobody)).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("nobody.invalid"), "{error}");
        look_up(&[nobody, "http://127.0.0.1:8201".into()]).unwrap();
        look_up(&["[::1]:8201".into()]).unwrap();
    }
}
