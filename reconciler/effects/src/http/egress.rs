//! Which hosts may be spoken to.
//!
//! Private and loopback addresses are open only if the operator says so; link-local ones (among them the
//! metadata services of clouds), unspecified, multicast and reserved ones only if the operator names them.
//! An IPv6 form of an IPv4 address (mapped, compatible, NAT64, 6to4) is judged as the IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};
use url::Host;

/// Which hosts may be spoken to. The default: every public one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressPolicy {
    /// Whether private and loopback addresses are open in general.
    pub allow_private: bool,
    /// Hosts and networks that are open although their addresses are not public.
    pub private: Vec<HostRule>,
    /// If not empty, the only hosts and networks that are open.
    pub only: Vec<HostRule>,
}

/// A host name, `*.suffix`, an address, or a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostRule {
    /// Exactly this name.
    Name(String),
    /// Every name below this one; the name itself is not meant.
    Below(String),
    /// Every address whose first bits are these.
    Network {
        /// The first address of the network.
        address: IpAddr,
        /// How many bits count.
        prefix_bits: u8,
    },
}

/// A text that is no [`HostRule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{rule}` names no host: write a name, `*.suffix`, an address, or a network such as 10.0.0.0/8"
)]
pub struct InvalidHostRule {
    /// The text.
    pub rule: String,
}

/// A host that the policy closes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` is blocked: {reason}")]
pub(crate) struct Blocked {
    pub(crate) host: String,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Routed on the internet.
    Public,
    /// Loopback, private use, shared address space, unique local.
    Private,
    /// Link-local, unspecified, multicast, reserved: no ordinary service lives there.
    Special,
}

impl FromStr for HostRule {
    type Err = InvalidHostRule;

    fn from_str(rule: &str) -> Result<Self, InvalidHostRule> {
        let invalid = || InvalidHostRule { rule: rule.to_owned() };
        if let Ok(address) = rule.parse::<IpAddr>() {
            let prefix_bits = if address.is_ipv4() { 32 } else { 128 };
            return Ok(Self::Network { address, prefix_bits });
        }
        if let Some((address, bits)) = rule.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| invalid())?;
            let prefix_bits: u8 = bits.parse().map_err(|_| invalid())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let network = Self::Network { address, prefix_bits };
            return if prefix_bits <= most { Ok(network) } else { Err(invalid()) };
        }
        let (below, name) = rule.strip_prefix("*.").map_or((false, rule), |name| (true, name));
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains('*') && below => Ok(Self::Below(name)),
            Ok(Host::Domain(name)) if !name.contains('*') => Ok(Self::Name(name)),
            Ok(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => Err(invalid()),
        }
    }
}

impl HostRule {
    fn matches(&self, name: Option<&str>, address: Option<IpAddr>) -> bool {
        match self {
            Self::Name(rule) => name.is_some_and(|name| name == rule),
            Self::Below(suffix) => name
                .and_then(|name| name.strip_suffix(suffix.as_str()))
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
            Self::Network { address: network, prefix_bits } => {
                address.is_some_and(|address| in_network(address, *network, *prefix_bits))
            }
        }
    }
}

impl EgressPolicy {
    /// A policy that leaves private and loopback addresses open.
    #[must_use]
    pub fn with_private() -> Self {
        Self { allow_private: true, ..Self::default() }
    }

    /// Judges what can be judged before a name is resolved.
    pub(crate) fn check_host(&self, host: &Host<&str>) -> Result<(), Blocked> {
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.check(None, IpAddr::V4(*address)),
            Host::Ipv6(address) => self.check(None, IpAddr::V6(*address)),
        }
    }

    /// Judges an address, reached by `name` if there was one.
    pub(crate) fn check(&self, name: Option<&str>, address: IpAddr) -> Result<(), Blocked> {
        let address = unwrap_ipv4(address);
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let listed = |rules: &[HostRule]| {
            rules.iter().any(|rule| rule.matches(name.as_deref(), Some(address)))
        };
        let blocked = |reason: String| {
            Err(Blocked { host: name.clone().unwrap_or_else(|| address.to_string()), reason })
        };
        if !self.only.is_empty() && !listed(&self.only) {
            return blocked("it is not among the hosts that the egress policy opens".to_owned());
        }
        match reach(address) {
            Reach::Public => Ok(()),
            Reach::Private if self.allow_private || listed(&self.private) => Ok(()),
            Reach::Special if listed(&self.private) => Ok(()),
            Reach::Private => blocked(format!(
                "{address} is a private address; list the host in the egress policy if it is meant"
            )),
            Reach::Special => blocked(format!(
                "{address} is a link-local or reserved address; list it in the egress policy if it is meant"
            )),
        }
    }
}

/// Resolves names and hands on only the addresses that the policy opens.
pub(crate) struct GuardedResolver {
    policy: Arc<EgressPolicy>,
}

impl GuardedResolver {
    pub(crate) fn new(policy: Arc<EgressPolicy>) -> Arc<Self> {
        Arc::new(Self { policy })
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut open: Vec<SocketAddr> = Vec::new();
            let mut refusal = None;
            for address in found {
                match policy.check(Some(name.as_str()), address.ip()) {
                    Ok(()) => open.push(address),
                    Err(blocked) => refusal = Some(blocked),
                }
            }
            match refusal {
                Some(blocked) if open.is_empty() => Err(blocked.into()),
                Some(_) | None => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

fn in_network(address: IpAddr, network: IpAddr, prefix_bits: u8) -> bool {
    let bits = u32::from(prefix_bits);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The IPv4 address that an IPv6 address stands for, if it stands for one: RFC 4291 (mapped, compatible),
/// RFC 6052 and 8215 (NAT64), RFC 3056 (6to4).
fn unwrap_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let s = v6.segments();
    let low = Ipv4Addr::from_bits((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => {
            IpAddr::V4(low)
        }
        [0, 0, 0, 0, 0, 0, ..] if v6 != Ipv6Addr::LOCALHOST && v6 != Ipv6Addr::UNSPECIFIED => {
            IpAddr::V4(low)
        }
        [0x2002, high, low, ..] => {
            IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
        }
        _ => address,
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

/// The IANA special-purpose registry for IPv4.
fn reach_v4(v4: Ipv4Addr) -> Reach {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (b == 18 || b == 19);
    let protocols = (a, b, c) == (192, 0, 0);
    if v4.is_private() || v4.is_loopback() || shared {
        Reach::Private
    } else if a == 0
        || a >= 240
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || benchmark
        || protocols
    {
        Reach::Special
    } else {
        Reach::Public
    }
}

/// The IANA special-purpose registry for IPv6: only `2000::/3` is global unicast, without Teredo, ORCHID,
/// benchmarking and documentation.
fn reach_v6(v6: Ipv6Addr) -> Reach {
    let s = v6.segments();
    let carved_out = s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8);
    if v6.is_loopback() || s[0] & 0xfe00 == 0xfc00 {
        Reach::Private
    } else if s[0] & 0xe000 == 0x2000 && !carved_out && s[0] != 0x3fff {
        Reach::Public
    } else {
        Reach::Special
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn blocked(policy: &EgressPolicy, url: &str) -> bool {
        let url = url::Url::parse(url).unwrap();
        policy.check_host(&url.host().unwrap()).is_err()
    }

    #[test]
    fn odd_spellings_of_closed_addresses_are_closed() {
        let policy = EgressPolicy::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::a00:1]",
            "[2002:7f00:1::]",
            "[fc00::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[ff02::1]",
            "[2001::1]",
            "[2001:db8::1]",
            "[100::1]",
        ] {
            assert!(blocked(&policy, &format!("http://{host}/")), "{host}");
        }
        for host in ["1.1.1.1", "[2606:4700::1111]", "[::ffff:1.1.1.1]", "8.8.8.8"] {
            assert!(!blocked(&policy, &format!("http://{host}/")), "{host}");
        }
    }

    #[test]
    fn opening_private_addresses_leaves_metadata_services_closed() {
        let policy = EgressPolicy::with_private();
        assert!(!blocked(&policy, "http://127.0.0.1"));
        assert!(blocked(&policy, "http://169.254.169.254"));
        let listed =
            EgressPolicy { private: vec!["169.254.0.0/16".parse().unwrap()], ..policy.clone() };
        assert!(!blocked(&listed, "http://169.254.169.254"));
    }

    #[test]
    fn only_closes_everything_else() {
        let rules = ["api.example.com", "*.svc.example.com", "10.1.0.0/16"];
        let only: Vec<HostRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let policy = EgressPolicy { allow_private: true, private: vec![], only };
        let open = |name: Option<&str>, ip: &str| policy.check(name, ip.parse().unwrap()).is_ok();
        assert!(open(Some("api.example.com"), "1.1.1.1"));
        assert!(open(Some("API.example.com."), "1.1.1.1"));
        assert!(open(Some("a.svc.example.com"), "1.1.1.1"));
        assert!(open(None, "10.1.2.3"));
        assert!(!open(Some("svc.example.com"), "1.1.1.1"));
        assert!(!open(Some("xsvc.example.com"), "1.1.1.1"));
        assert!(!open(Some("evil.com"), "1.1.1.1"));
        assert!(!open(None, "10.2.0.1"));
    }

    #[test]
    fn rules_are_names_suffixes_or_networks() {
        for bad in ["", "a b", "10.0.0.0/33", "*.*.x", "a*b", "1.2.3/8"] {
            assert!(bad.parse::<HostRule>().is_err(), "{bad:?}");
        }
        let everything: HostRule = "0.0.0.0/0".parse().unwrap();
        assert!(everything.matches(None, Some("1.2.3.4".parse().unwrap())));
    }
}
