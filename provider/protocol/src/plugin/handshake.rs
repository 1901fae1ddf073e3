//! What the host says in the environment, and the line that answers it.

use std::env;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::socket::{Address, Placement};

/// Says that the host is a Terraform or OpenTofu, and not a person at a shell.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");
/// Version of the handshake itself.
const CORE_VERSION: u8 = 1;
/// The only version of the provider protocol that is spoken here. A host that does not offer it
/// says so itself when it reads the line.
const PROTOCOL_VERSION: u8 = 6;
/// Registries whose tools may look for the provider in debug mode.
const REGISTRIES: [&str; 2] = ["registry.terraform.io", "registry.opentofu.org"];

/// Who started the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A plugin host.
    Hosted,
    /// A developer, to attach hosts to it.
    Debug,
    /// Somebody who expected something else.
    ByHand,
}

/// How the process was started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) mode: Mode,
    /// The host's certificate in PEM, when it wants mutual TLS.
    pub(super) client_certificate: Option<String>,
    /// Whether the host asks if connections can be multiplexed.
    pub(super) multiplex: bool,
    pub(super) socket: Placement,
    /// Level of the log that the host wants to see; none when it wants none.
    pub(super) log: Option<String>,
}

impl Launch {
    /// How the provider of this source address was started.
    pub(super) fn from_environment(provider: &str) -> Self {
        let debug = env::args().skip(1).any(|arg| arg == "-debug" || arg == "--debug");
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        Self::new(provider, debug, variable)
    }

    fn new(provider: &str, debug: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mode = match variable(COOKIE.0) {
            _ if debug => Mode::Debug,
            Some(cookie) if cookie == COOKIE.1 => Mode::Hosted,
            Some(_) | None => Mode::ByHand,
        };
        let port = |name| variable(name).and_then(|port| port.parse().ok());
        let ports = port("PLUGIN_MIN_PORT").zip(port("PLUGIN_MAX_PORT"));
        Self {
            mode,
            client_certificate: variable("PLUGIN_CLIENT_CERT").filter(|_| mode == Mode::Hosted),
            multiplex: variable("PLUGIN_MULTIPLEX_GRPC").is_some(),
            socket: Placement {
                directory: variable("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
                group: variable("PLUGIN_UNIX_SOCKET_GROUP"),
                ports: ports.map_or(0..=0, |(min, max)| min..=max),
            },
            log: log(provider, variable),
        }
    }
}

/// The level of the log: that of this provider alone (`TF_LOG_PROVIDER_NOTES`), else of all
/// providers, else of everything. The first counts only beside one of the others: without them the
/// host throws away whatever it is sent.
fn log(provider: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let of_all = variable("TF_LOG_PROVIDER").or_else(|| variable("TF_LOG"))?;
    let name = provider.rsplit('/').next().unwrap_or(provider);
    let own = format!("TF_LOG_PROVIDER_{}", name.to_ascii_uppercase().replace('-', "_"));
    Some(variable(&own).unwrap_or(of_all))
}

/// The line that tells the host where to connect, and by which certificate to know us.
pub(super) fn line(address: &Address, certificate: Option<&[u8]>, multiplex: bool) -> String {
    let network = address.network();
    let certificate = certificate.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
    // Older hosts do not know the last field, and would take it for a part of the certificate.
    let multiplex = if multiplex { "|false" } else { "" };
    format!("{CORE_VERSION}|{PROTOCOL_VERSION}|{network}|{address}|grpc|{certificate}{multiplex}")
}

/// What a developer sets in the environment of the tools that shall use this process.
pub(super) fn reattach(provider: &str, address: &Address) -> String {
    let entry = serde_json::json!({
        "Protocol": "grpc",
        "ProtocolVersion": PROTOCOL_VERSION,
        "Pid": std::process::id(),
        "Test": true,
        "Addr": { "Network": address.network(), "String": address.to_string() },
    });
    let entries: serde_json::Map<_, _> =
        REGISTRIES.iter().map(|host| (format!("{host}/{provider}"), entry.clone())).collect();
    format!("TF_REATTACH_PROVIDERS='{}'", serde_json::Value::Object(entries))
}

/// What somebody is told who starts the provider like a command.
pub(super) fn by_hand(provider: &str) -> String {
    format!(
        "This is the provider {provider}, a plugin of Terraform and OpenTofu. They start it \
         themselves when a configuration names it in required_providers; it does nothing on its \
         own. To debug it, start it with -debug and set the variable that it prints."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(debug: bool, variables: &[(&str, &str)]) -> Launch {
        Launch::new("acme/notes", debug, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn only_a_host_knows_the_cookie() {
        assert_eq!(launch(false, &[COOKIE]).mode, Mode::Hosted);
        assert_eq!(launch(false, &[(COOKIE.0, "guess")]).mode, Mode::ByHand);
        assert_eq!(launch(false, &[]).mode, Mode::ByHand);
        assert_eq!(launch(true, &[]).mode, Mode::Debug);
    }

    #[test]
    fn the_debugger_speaks_plainly() {
        let certificate = ("PLUGIN_CLIENT_CERT", "pem");
        assert!(launch(false, &[COOKIE, certificate]).client_certificate.is_some());
        assert!(launch(true, &[COOKIE, certificate]).client_certificate.is_none());
    }

    #[test]
    fn the_most_exact_log_level_wins() {
        let (all, providers, own) =
            (("TF_LOG", "ERROR"), ("TF_LOG_PROVIDER", "DEBUG"), ("TF_LOG_PROVIDER_NOTES", "TRACE"));
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            assert_eq!(launch(false, variables).log.as_deref(), expected, "{variables:?}");
        };
        check(&[], None);
        check(&[all], Some("ERROR"));
        check(&[all, providers], Some("DEBUG"));
        check(&[all, own], Some("TRACE"));
        check(&[all, providers, own], Some("TRACE"));
        check(&[all, ("TF_LOG_PROVIDER_OTHER", "TRACE")], Some("ERROR"));
        // Nobody would read it.
        check(&[own], None);
    }

    #[test]
    fn lines_have_the_fields_that_the_host_splits() {
        let address = Address::Unix("/tmp/plugin1".into());
        assert_eq!(line(&address, None, false), "1|6|unix|/tmp/plugin1|grpc|");
        assert_eq!(line(&address, Some(&[0xfb, 0xff]), false), "1|6|unix|/tmp/plugin1|grpc|+/8");
        assert_eq!(line(&address, None, true), "1|6|unix|/tmp/plugin1|grpc||false");
    }

    #[test]
    fn both_tools_find_the_debugged_process() {
        let line = reattach("acme/notes", &Address::Unix("/tmp/plugin1".into()));
        assert!(line.starts_with("TF_REATTACH_PROVIDERS='{"), "{line}");
        for host in REGISTRIES {
            assert!(line.contains(&format!("\"{host}/acme/notes\":{{")), "{line}");
        }
    }
}
