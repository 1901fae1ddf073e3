//! `lockstep_verification`.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::{Attribute, Block, NestedBlock};
use reconciler_api::v1::{self, HttpCheck, PrometheusCheck, VerificationSpec};
use reconciler_domain::check::{check_verification, response_names, result_names};
use reconciler_domain::id::VerificationName;
use reconciler_domain::{duration, verification};

use crate::attribute::{
    condition, count, filled, http_url_template, span, template, template_map, word,
};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;
use crate::words::sentence;

pub(crate) struct Verification;

impl Definition for Verification {
    type Object = v1::Verification;
    type Name = VerificationName;

    const TYPE_NAME: &'static str = "lockstep_verification";
    const DESCRIPTION: &'static str = "A template of measurements after a promotion. A stage that \
        uses it vouches for freight only when every check passed: no samples, no answer and no \
        time left are never success. Texts may hold `{{ CEL }}` over `args`, `freight`, `vars`, \
        `steps`, `stage`, `project` and `promotion`.";
    const KEYED: Keyed = &[(&["http", "prometheus"], "name")];
    // The client keeps `count` for itself at the root of a resource.
    const MOVED: Moved = &[("count", "measurements")];

    fn fields() -> Vec<(&'static str, Item)> {
        let timing = |default: &str, text: &str| span().default(default).describe(text);
        vec![
            ("description", Attribute::string().describe("What it shows, in a sentence.").into()),
            (
                "initial_delay",
                timing(
                    VerificationSpec::INITIAL_DELAY_DEFAULT,
                    "Wait before the first measurement.",
                )
                .into(),
            ),
            (
                "interval",
                timing(VerificationSpec::INTERVAL_DEFAULT, "Time between two measurements.").into(),
            ),
            (
                "measurements",
                count(1)
                    .default(VerificationSpec::COUNT_DEFAULT)
                    .describe("How many good measurements each check needs.")
                    .into(),
            ),
            (
                "failure_limit",
                count(0)
                    .default(0)
                    .describe("How many bad measurements a check may have before it fails.")
                    .into(),
            ),
            (
                "deadline",
                timing(
                    VerificationSpec::DEADLINE_DEFAULT,
                    "Time for all of it; what is not known by then stays unknown.",
                )
                .into(),
            ),
            ("http", NestedBlock::list(http()).into()),
            ("prometheus", NestedBlock::list(prometheus()).into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let known = !config.get("http").is_unknown() && !config.get("prometheus").is_unknown();
        if known && config.blocks("http").is_empty() && config.blocks("prometheus").is_empty() {
            let text = "A verification needs at least one `http` or `prometheus` block: without \
                        evidence nothing is verified.";
            diags.error_at(Path::root(), "Missing check", text);
        }
        check_times(config, diags);
    }

    fn spec(value: &Reader<'_>) -> VerificationSpec {
        let default = VerificationSpec::default();
        VerificationSpec {
            description: value.text("description").unwrap_or_default(),
            initial_delay: value.text("initial_delay").unwrap_or(default.initial_delay),
            interval: value.text("interval").unwrap_or(default.interval),
            count: value.count("measurements").unwrap_or(default.count),
            failure_limit: value.count("failure_limit").unwrap_or(default.failure_limit),
            deadline: value.text("deadline").unwrap_or(default.deadline),
            http: value.blocks("http").iter().map(http_spec).collect(),
            prometheus: value.blocks("prometheus").iter().map(prometheus_spec).collect(),
        }
    }

    fn value(object: &v1::Verification) -> Value {
        let VerificationSpec {
            description,
            initial_delay,
            interval,
            count,
            failure_limit,
            deadline,
            http,
            prometheus,
        } = &object.spec;
        Value::object([
            ("description", form::text(description)),
            ("initial_delay", initial_delay.into()),
            ("interval", interval.into()),
            ("measurements", (*count).into()),
            ("failure_limit", (*failure_limit).into()),
            ("deadline", deadline.into()),
            ("http", Value::list(http.iter().map(http_value))),
            ("prometheus", Value::list(prometheus.iter().map(prometheus_value))),
        ])
    }

    fn definition(spec: VerificationSpec) -> Option<v1::Definition> {
        Some(v1::Definition::Verification(spec))
    }
}

/// Checks that the measurements end in time, as the daemon does, once all of that is known.
fn check_times(config: &Reader<'_>, diags: &mut Diagnostics) {
    let span = |name: &str, default: &str| {
        let text = match config.string(name) {
            Field::Known(text) => text,
            Field::Null => default,
            Field::Unknown => return None,
        };
        duration::parse(text).ok()
    };
    let default = VerificationSpec::default();
    let count = match config.get("measurements").is_null() {
        true => Some(default.count),
        false => config.count("measurements"),
    };
    let (Some(initial_delay), Some(interval), Some(deadline), Some(count)) = (
        span("initial_delay", &default.initial_delay),
        span("interval", &default.interval),
        span("deadline", &default.deadline),
        count,
    ) else {
        return;
    };
    let checked = check_verification(&verification::Verification {
        name: "verification".parse().expect("a word is a name"),
        description: String::new(),
        initial_delay,
        interval,
        count,
        failure_limit: 0,
        deadline,
        checks: [].into(),
    });
    for problem in checked {
        // Checks are none of this, and the schema lets no count be 0.
        if matches!(problem.path.as_str(), "interval" | "deadline") {
            let path = config.path_of(&problem.path);
            diags.error_at(path, "Measurements cannot be", sentence(&problem.message));
        }
    }
}

fn check_name() -> Attribute {
    filled().required().describe("Its name in this verification, across all kinds of checks.")
}

fn http() -> Block {
    block(vec![
        ("name", check_name().into()),
        ("url", http_url_template().required().describe("Where the request goes.").into()),
        (
            "method",
            word(HttpCheck::METHODS.to_vec())
                .default(HttpCheck::METHOD_DEFAULT)
                .describe("The method: `GET`, `HEAD`, `POST` or `PUT`.")
                .into(),
        ),
        ("headers", template_map().describe("Headers of the request.").into()),
        ("body", template().describe("The body of the request.").into()),
        (
            "timeout",
            span().default(HttpCheck::TIMEOUT_DEFAULT).describe("Time for one exchange.").into(),
        ),
        (
            "success",
            condition(response_names)
                .required()
                .describe(
                    "What a good answer is, in CEL over `response.status`, `response.headers`, \
                     `response.body` and `response.json`.",
                )
                .into(),
        ),
    ])
    .describe("A check that sends an HTTP request and judges the answer.")
}

fn prometheus() -> Block {
    block(vec![
        ("name", check_name().into()),
        ("address", http_url_template().required().describe("The base URL of Prometheus.").into()),
        ("query", template().required().describe("The query, in PromQL.").into()),
        (
            "success",
            condition(result_names)
                .required()
                .describe(
                    "What a good result is, in CEL over `result.value`, the value of the only \
                     sample, and `result.samples`. A result without samples is unknown, never \
                     good.",
                )
                .into(),
        ),
    ])
    .describe("A check that sends an instant query to Prometheus and judges the result.")
}

fn http_spec(check: &Reader<'_>) -> HttpCheck {
    HttpCheck {
        name: check.required("name"),
        url: check.required("url"),
        method: check.text("method").unwrap_or_else(|| HttpCheck::METHOD_DEFAULT.to_owned()),
        headers: check.text_map("headers"),
        body: check.text("body"),
        timeout: check.text("timeout").unwrap_or_else(|| HttpCheck::TIMEOUT_DEFAULT.to_owned()),
        success: check.required("success"),
    }
}

fn http_value(check: &HttpCheck) -> Value {
    let HttpCheck { name, url, method, headers, body, timeout, success } = check;
    Value::object([
        ("name", name.into()),
        ("url", url.into()),
        ("method", method.into()),
        ("headers", form::text_map(headers)),
        ("body", body.clone().into()),
        ("timeout", timeout.into()),
        ("success", success.into()),
    ])
}

fn prometheus_spec(check: &Reader<'_>) -> PrometheusCheck {
    PrometheusCheck {
        name: check.required("name"),
        address: check.required("address"),
        query: check.required("query"),
        success: check.required("success"),
    }
}

fn prometheus_value(check: &PrometheusCheck) -> Value {
    let PrometheusCheck { name, address, query, success } = check;
    Value::object([
        ("name", Value::from(name)),
        ("address", address.into()),
        ("query", query.into()),
        ("success", success.into()),
    ])
}
