//! Verifications: templates of measurements after a promotion.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object};

/// What a client says of a verification. Checks are keyed by name across their kinds; their texts
/// may hold `{{ CEL }}` over `args`, `freight`, `stage` and `promotion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationSpec {
    /// What it shows, in a sentence.
    #[serde(default)]
    pub description: String,
    /// How long to wait before the first measurement, a duration.
    #[serde(default = "VerificationSpec::initial_delay_default")]
    pub initial_delay: String,
    /// How long between measurements, a duration.
    #[serde(default = "VerificationSpec::interval_default")]
    pub interval: String,
    /// How many measurements each check takes.
    #[serde(default = "VerificationSpec::count_default")]
    pub count: u32,
    /// How many failed measurements of a check are borne before it fails.
    #[serde(default)]
    pub failure_limit: u32,
    /// How long all of it may take, a duration; what is not known by then stays unknown.
    #[serde(default = "VerificationSpec::deadline_default")]
    pub deadline: String,
    /// Checks by HTTP request.
    #[serde(default)]
    pub http: Vec<HttpCheck>,
    /// Checks by Prometheus query.
    #[serde(default)]
    pub prometheus: Vec<PrometheusCheck>,
}

impl VerificationSpec {
    /// The delay before the first measurement when the spec says nothing.
    pub const INITIAL_DELAY_DEFAULT: &str = "0s";
    /// The time between measurements when the spec says nothing.
    pub const INTERVAL_DEFAULT: &str = "30s";
    /// The number of measurements when the spec says nothing.
    pub const COUNT_DEFAULT: u32 = 1;
    /// The time for all of it when the spec says nothing.
    pub const DEADLINE_DEFAULT: &str = "15m";

    fn initial_delay_default() -> String {
        Self::INITIAL_DELAY_DEFAULT.to_owned()
    }

    fn interval_default() -> String {
        Self::INTERVAL_DEFAULT.to_owned()
    }

    fn count_default() -> u32 {
        Self::COUNT_DEFAULT
    }

    fn deadline_default() -> String {
        Self::DEADLINE_DEFAULT.to_owned()
    }
}

impl Default for VerificationSpec {
    fn default() -> Self {
        Self {
            description: String::new(),
            initial_delay: Self::initial_delay_default(),
            interval: Self::interval_default(),
            count: Self::count_default(),
            failure_limit: 0,
            deadline: Self::deadline_default(),
            http: Vec::new(),
            prometheus: Vec::new(),
        }
    }
}

/// A check that sends an HTTP request and judges the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Its name within the verification.
    pub name: String,
    /// Where the request goes.
    pub url: String,
    /// The method.
    #[serde(default = "HttpCheck::method_default")]
    pub method: String,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body of the request.
    #[serde(default)]
    pub body: Option<String>,
    /// How long one request may take, a duration.
    #[serde(default = "HttpCheck::timeout_default")]
    pub timeout: String,
    /// What a good response is, in CEL over `response`.
    pub success: String,
}

impl HttpCheck {
    /// The methods that a check may use.
    pub const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];
    /// The method when the check says nothing.
    pub const METHOD_DEFAULT: &str = "GET";
    /// The time for one request when the check says nothing.
    pub const TIMEOUT_DEFAULT: &str = "10s";

    fn method_default() -> String {
        Self::METHOD_DEFAULT.to_owned()
    }

    fn timeout_default() -> String {
        Self::TIMEOUT_DEFAULT.to_owned()
    }
}

/// A check that sends an instant query to Prometheus and judges the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusCheck {
    /// Its name within the verification.
    pub name: String,
    /// The base URL of Prometheus.
    pub address: String,
    /// The query, in the language of Prometheus.
    pub query: String,
    /// What a good result is, in CEL over `result`. A result without samples is unknown, never
    /// good.
    pub success: String,
}

/// A template of measurements that stages put to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: VerificationSpec,
}

impl Object for Verification {
    type Spec = VerificationSpec;

    const KIND: Kind = Kind::Verification;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
