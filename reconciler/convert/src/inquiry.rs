//! Tickets and attestations of policies.

use std::collections::BTreeMap;

use reconciler_api::problem::FieldCode;
use reconciler_api::v1::{AttestationRule, TicketRule};
use reconciler_domain::duration;
use reconciler_domain::expression::Expression;
use reconciler_domain::inquiry::{Attestation, Origin, Ticket, VerifyingKey, WebRequest};

use crate::Fields;

pub(crate) fn parse_tickets(fields: &mut Fields, rules: &[TicketRule]) -> Vec<Ticket> {
    rules.iter().enumerate().filter_map(|(at, rule)| parse_ticket(fields, at, rule)).collect()
}

fn parse_ticket(fields: &mut Fields, at: usize, rule: &TicketRule) -> Option<Ticket> {
    let path = |field: &str| format!("tickets[{at}].{field}");
    fields.http_url(&path("url"), &rule.url);
    let success =
        fields.parse::<Expression>(&path("success"), FieldCode::BadExpression, &rule.success);
    let failure = match &rule.failure {
        Some(text) => {
            fields.parse::<Expression>(&path("failure"), FieldCode::BadExpression, text).map(Some)
        }
        None => Some(None),
    };
    let every = fields.duration(&path("every"), &rule.every);
    let timeout = fields.duration(&path("timeout"), &rule.timeout);
    let request = WebRequest {
        url: rule.url.clone(),
        method: rule.method.clone(),
        headers: rule.headers.clone(),
        body: rule.body.clone(),
        timeout: timeout?,
    };
    let name = rule.name.clone();
    Some(Ticket { name, request, success: success?, failure: failure?, every: every? })
}

pub(crate) fn parse_attestations(
    fields: &mut Fields,
    rules: &[AttestationRule],
) -> Vec<Attestation> {
    rules.iter().enumerate().filter_map(|(at, rule)| parse_attestation(fields, at, rule)).collect()
}

fn parse_attestation(
    fields: &mut Fields,
    at: usize,
    rule: &AttestationRule,
) -> Option<Attestation> {
    let path = |field: &str| format!("attestations[{at}].{field}");
    let success =
        fields.parse::<Expression>(&path("success"), FieldCode::BadExpression, &rule.success);
    let every = fields.duration(&path("every"), &rule.every);
    let timeout = fields.duration(&path("timeout"), &rule.timeout);
    let origin = match (&rule.url, &rule.artifact) {
        (Some(url), None) => {
            fields.http_url(&path("url"), url);
            for (field, given) in [("type", rule.kind.is_some()), ("key", rule.key.is_some())] {
                if given {
                    let message = "is of what is attached to an artifact, and not of a url";
                    fields.add(&path(field), FieldCode::Conflicting, message);
                }
            }
            Some(Origin::Web(WebRequest {
                url: url.clone(),
                method: TicketRule::METHOD_DEFAULT.to_owned(),
                headers: rule.headers.clone(),
                body: None,
                timeout: timeout?,
            }))
        }
        (None, Some(artifact)) => {
            if !rule.headers.is_empty() {
                let message = "are of the request to a url, and not of a registry";
                fields.add(&path("headers"), FieldCode::Conflicting, message);
            }
            let artifact = fields.name(&path("artifact"), artifact);
            let key = match &rule.key {
                Some(text) => {
                    fields.parse::<VerifyingKey>(&path("key"), FieldCode::Invalid, text).map(Some)
                }
                None => Some(None),
            };
            if rule.kind.is_none() {
                let message = "the artifact type, or the type of the predicate";
                fields.add(&path("type"), FieldCode::Missing, message);
            }
            let kind = rule.kind.clone()?;
            Some(Origin::Referrer { artifact: artifact?, kind, key: key?, timeout: timeout? })
        }
        (Some(_), Some(_)) => {
            let message = "it is attached to an artifact or found at a url, not both";
            fields.add(&path("url"), FieldCode::Conflicting, message);
            None
        }
        (None, None) => {
            let message = "set artifact, to which it is attached, or url";
            fields.add(&path("artifact"), FieldCode::Missing, message);
            None
        }
    };
    let name = rule.name.clone();
    Some(Attestation { name, origin: origin?, success: success?, every: every? })
}

pub(crate) fn wire_ticket(ticket: &Ticket) -> TicketRule {
    let Ticket { name, request, success, failure, every } = ticket;
    TicketRule {
        name: name.clone(),
        url: request.url.clone(),
        method: request.method.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        timeout: duration::print(request.timeout),
        success: success.source().to_owned(),
        failure: failure.as_ref().map(|failure| failure.source().to_owned()),
        every: duration::print(*every),
    }
}

pub(crate) fn wire_attestation(attestation: &Attestation) -> AttestationRule {
    let Attestation { name, origin, success, every } = attestation;
    let (timeout, artifact, kind, key, url, headers) = match origin {
        Origin::Web(request) => {
            (request.timeout, None, None, None, Some(&request.url), request.headers.clone())
        }
        Origin::Referrer { artifact, kind, key, timeout } => {
            (*timeout, Some(artifact), Some(kind), key.as_ref(), None, BTreeMap::new())
        }
    };
    AttestationRule {
        name: name.clone(),
        artifact: artifact.map(ToString::to_string),
        kind: kind.cloned(),
        key: key.map(ToString::to_string),
        url: url.cloned(),
        headers,
        timeout: duration::print(timeout),
        success: success.source().to_owned(),
        every: duration::print(*every),
    }
}
