//! The blocks `ticket` and `attestation` of a policy.

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use provider_protocol::schema::{Attribute, Block};
use reconciler_api::v1::{AttestationRule, TicketRule};
use reconciler_domain::expression::Expression;
use reconciler_domain::inquiry::VerifyingKey;

use crate::attribute::{filled, http_url_template, parsed, span, template, template_map, word};
use crate::form::{self, Read as _};
use crate::managed::block;

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"];

/// The block `ticket`.
pub(super) fn ticket() -> Block {
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        (
            "url",
            http_url_template()
                .required()
                .describe(
                    "Where the request goes. Texts may hold `{{ CEL }}` over `freight`, `vars`, `stage`, `project`, \
                     `promotion` and `secret(\"CREDENTIAL\", \"KEY\")`, such as \
                     `https://jira.example.com/rest/api/2/issue/{{ vars.ticket }}`.",
                )
                .into(),
        ),
        (
            "method",
            word(METHODS.to_vec())
                .default(TicketRule::METHOD_DEFAULT)
                .describe("The method.")
                .into(),
        ),
        ("headers", template_map().describe("Headers of the request.").into()),
        ("body", template().describe("The body of the request.").into()),
        ("timeout", timeout("Time for one request, at most `20s`.").into()),
        (
            "success",
            parsed::<Expression>()
                .required()
                .describe(
                    "When it is approved, in CEL over `response.status`, `response.headers`, `response.body`, \
                     `response.json`, and what texts see (but secrets): let it say what the ticket is for, too, such as \
                     `response.json.approved && response.json.version == freight.api.tag`.",
                )
                .into(),
        ),
        (
            "failure",
            parsed::<Expression>()
                .describe(
                    "When it is refused, over the same; what neither accepts is unknown. Without it, whatever \
                     `success` does not accept is refused.",
                )
                .into(),
        ),
        ("every", every("How often it is asked while a promotion waits, from `10s` to `24h`.").into()),
    ])
    .describe(
        "A gate: something elsewhere, such as a change ticket, has to be approved. It is asked while a promotion waits, \
         and once more right before it commits. What is no answer never passes: no connection, a redirect, any status \
         but 2xx, 404 and 410, an expression that cannot be evaluated.",
    )
}

/// The block `attestation`.
pub(super) fn attestation() -> Block {
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        (
            "artifact",
            filled()
                .describe(
                    "The subscription of the image that it is attached to, as a referrer or as `cosign attest` does.",
                )
                .into(),
        ),
        (
            "type",
            filled()
                .describe(
                    "Of one that is attached: its artifact type, or the type of its predicate, such as \
                     `https://cosign.sigstore.dev/attestation/vuln/v1`.",
                )
                .into(),
        ),
        (
            "key",
            parsed::<VerifyingKey>()
                .describe(
                    "Of one that is attached: the public key in PEM, Ed25519 or ECDSA P-256, that has signed it, as \
                     in-toto statement about the image in a DSSE envelope. What is not signed with it is passed over. \
                     Without a key, whoever may write to the registry can attest.",
                )
                .into(),
        ),
        (
            "url",
            http_url_template()
                .describe("Where it is as JSON, instead of `artifact`. A text as that of a ticket.")
                .into(),
        ),
        ("headers", template_map().describe("Headers of the request to `url`.").into()),
        ("timeout", timeout("Time for all requests together, at most `20s`.").into()),
        (
            "success",
            parsed::<Expression>()
                .required()
                .describe(
                    "What it has to say, in CEL over `payload`, the JSON or the in-toto statement, and what the texts \
                     of a ticket see: such as `payload.predicate.criticals == 0`. Of several that are attached, every \
                     one.",
                )
                .into(),
        ),
        ("every", every("How often it is looked for while a promotion waits, from `10s` to `24h`.").into()),
    ])
    .describe(
        "A gate: what a program, such as a scanner or a build, has to have said of what is promoted. It is attached to \
         an image (`artifact`, `type`) or on a server (`url`), and is looked for once more right before a promotion \
         commits. What is not there never passes.",
    )
}

fn timeout(text: &str) -> Attribute {
    span().default(TicketRule::TIMEOUT_DEFAULT).describe(text)
}

fn every(text: &str) -> Attribute {
    span().default(TicketRule::EVERY_DEFAULT).describe(text)
}

/// Attestations are in one place.
pub(super) fn check_attestations(config: &Reader<'_>, diags: &mut Diagnostics) {
    for attestation in config.blocks("attestation") {
        let (url, artifact) = (attestation.get("url"), attestation.get("artifact"));
        if !url.is_null() && !artifact.is_null() {
            let text = "It is attached to an artifact or found at a url, not both.";
            diags.error_at(attestation.path_of("url"), "Conflicting attributes", text);
        } else if url.is_null() && artifact.is_null() {
            let text = "Set `artifact`, to which it is attached, or `url`.";
            diags.error_at(attestation.path_of("name"), "Missing attribute", text);
        } else if url.is_null() && attestation.get("type").is_null() {
            let text = "Set `type`: the artifact type, or the type of the predicate.";
            diags.error_at(attestation.path_of("artifact"), "Missing attribute", text);
        }
    }
}

pub(super) fn ticket_rule(ticket: &Reader<'_>) -> TicketRule {
    let or = |name: &str, default: &str| ticket.text(name).unwrap_or_else(|| default.to_owned());
    TicketRule {
        name: ticket.required("name"),
        url: ticket.required("url"),
        method: or("method", TicketRule::METHOD_DEFAULT),
        headers: ticket.text_map("headers"),
        body: ticket.text("body"),
        timeout: or("timeout", TicketRule::TIMEOUT_DEFAULT),
        success: ticket.required("success"),
        failure: ticket.text("failure"),
        every: or("every", TicketRule::EVERY_DEFAULT),
    }
}

pub(super) fn ticket_value(ticket: &TicketRule) -> Value {
    let TicketRule { name, url, method, headers, body, timeout, success, failure, every } = ticket;
    Value::object([
        ("name", Value::from(name)),
        ("url", url.into()),
        ("method", method.into()),
        ("headers", form::text_map(headers)),
        ("body", body.clone().into()),
        ("timeout", timeout.into()),
        ("success", success.into()),
        ("failure", failure.clone().into()),
        ("every", every.into()),
    ])
}

pub(super) fn attestation_rule(attestation: &Reader<'_>) -> AttestationRule {
    let or =
        |name: &str, default: &str| attestation.text(name).unwrap_or_else(|| default.to_owned());
    AttestationRule {
        name: attestation.required("name"),
        artifact: attestation.text("artifact"),
        kind: attestation.text("type"),
        key: attestation.text("key"),
        url: attestation.text("url"),
        headers: attestation.text_map("headers"),
        timeout: or("timeout", TicketRule::TIMEOUT_DEFAULT),
        success: attestation.required("success"),
        every: or("every", TicketRule::EVERY_DEFAULT),
    }
}

pub(super) fn attestation_value(attestation: &AttestationRule) -> Value {
    let AttestationRule { name, artifact, kind, key, url, headers, timeout, success, every } =
        attestation;
    Value::object([
        ("name", Value::from(name)),
        ("artifact", artifact.clone().into()),
        ("type", kind.clone().into()),
        ("key", key.clone().into()),
        ("url", url.clone().into()),
        ("headers", form::text_map(headers)),
        ("timeout", timeout.into()),
        ("success", success.into()),
        ("every", every.into()),
    ])
}
