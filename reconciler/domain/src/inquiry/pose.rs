//! From policies to questions, and which of them are due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Asker, Asking, Attestation, COMMIT_VALID, Context, Inquiry, Origin, Reply, SLACK, Said, Source,
    Standing, Ticket, WebRequest, askers,
};
use crate::artifact::{Artifact, ImageVersion};
use crate::expression::Scope;
use crate::gate::Gate;
use crate::id::SubscriptionName;
use crate::policy::{GateKind, Joined};
use crate::promotion::Frozen;
use crate::scope::scope;
use crate::secret;
use crate::snapshot::PromotionSnapshot;

/// What conditions see of a promotion beside an answer.
const SEEN: [&str; 6] = ["freight", "vars", "stage", "freight_metadata", "project", "promotion"];

/// A question of a promotion, and what is known of it.
pub(crate) struct Posed {
    asker: Asker,
    every: SignedDuration,
    /// The question and its digest, or why it cannot be asked.
    inquiry: Result<(Inquiry, String), String>,
    /// The last reply to exactly this.
    reply: Option<Reply>,
}

/// The questions that the policies ask about a promotion, in the order of [`askers`]; none before it is known what it
/// is made from.
pub(crate) fn pose(snapshot: &PromotionSnapshot, joined: &Joined<'_>) -> Vec<Posed> {
    let Some(frozen) = &snapshot.state.frozen else { return Vec::new() };
    let asks = |policy: &&_| askers(policy).next().is_some();
    if !joined.policies.iter().any(asks) {
        return Vec::new();
    }
    let scope = scope(&snapshot.promotion, frozen, &snapshot.state);
    let context = context(&scope, frozen);
    let mut all = Vec::new();
    for policy in &joined.policies {
        let tickets = policy.tickets.iter().map(|it| (it.every, of_ticket(it, &scope, &context)));
        let attestations = policy.attestations.iter();
        let attestations =
            attestations.map(|it| (it.every, of_attestation(it, frozen, &scope, &context)));
        let made = tickets.chain(attestations);
        all.extend(askers(policy).zip(made).map(|(asker, (every, inquiry))| {
            let inquiry = inquiry.map(|inquiry| {
                let digest = inquiry.digest();
                (inquiry, digest)
            });
            let asked = inquiry.as_ref().ok().map(|(_, digest)| digest);
            let reply = snapshot.replies.get(&asker).filter(|it| Some(&it.inquiry) == asked);
            Posed { reply: reply.cloned(), every: signed(every), asker, inquiry }
        }));
    }
    all
}

fn signed(every: Duration) -> SignedDuration {
    SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX)
}

fn context(scope: &Scope, frozen: &Frozen) -> Context {
    let values =
        SEEN.iter().filter_map(|name| Some(((*name).to_owned(), scope.get(name)?.clone())));
    let freight = frozen.collection.iter();
    Context {
        values: values.collect(),
        freight: freight.map(|(name, it)| (name.to_string(), it.scope())).collect(),
    }
}

fn of_ticket(ticket: &Ticket, scope: &Scope, context: &Context) -> Result<Inquiry, String> {
    let (request, secrets) = rendered(&ticket.request, scope)?;
    Ok(Inquiry {
        source: Source::Response { request, secrets },
        context: context.clone(),
        success: ticket.success.clone(),
        failure: ticket.failure.clone(),
    })
}

fn of_attestation(
    attestation: &Attestation,
    frozen: &Frozen,
    scope: &Scope,
    context: &Context,
) -> Result<Inquiry, String> {
    let source = match &attestation.origin {
        Origin::Web(request) => {
            let (request, secrets) = rendered(request, scope)?;
            Source::Document { request, secrets }
        }
        Origin::Referrer { artifact, kind, key, timeout } => {
            let image = image(frozen, artifact)?;
            Source::Referrer {
                repo: image.repo.clone(),
                digest: image.digest.clone(),
                artifact_type: kind.clone(),
                key: key.clone(),
                timeout: *timeout,
            }
        }
    };
    let (context, success) = (context.clone(), attestation.success.clone());
    Ok(Inquiry { source, context, success, failure: None })
}

/// The image of this subscription. Of two warehouses that have one, nobody knows which is meant.
fn image<'a>(frozen: &'a Frozen, name: &SubscriptionName) -> Result<&'a ImageVersion, String> {
    let freight = frozen.collection.values();
    let mut found = freight.filter_map(|freight| freight.artifacts.get(name));
    match (found.next(), found.next()) {
        (Some(Artifact::Image(image)), None) => Ok(image),
        (Some(Artifact::Git(_)), None) => Err(format!("{name} is no image")),
        (Some(_), Some(_)) => Err(format!("several warehouses have a subscription {name}")),
        (None, _) => Err(format!("nothing of a subscription {name} is promoted")),
    }
}

/// The request with its templates rendered, and the secrets whose words are in it.
fn rendered(
    request: &WebRequest,
    scope: &Scope,
) -> Result<(WebRequest, Vec<crate::secret::SecretRef>), String> {
    let WebRequest { url, headers, body, .. } = request;
    let texts = json!({ "url": url, "headers": headers, "body": body });
    let (texts, secrets) = secret::rendered(&texts, scope)?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let headers = headers.keys().map(|name| (name.clone(), text(&texts["headers"][name])));
    let rendered = WebRequest {
        url: text(&texts["url"]),
        method: request.method.clone(),
        headers: headers.collect(),
        body: body.as_ref().map(|_| text(&texts["body"])),
        timeout: request.timeout,
    };
    Ok((rendered, secrets))
}

/// What gates know of these questions.
pub(crate) fn said(posed: &[Posed], now: Timestamp) -> Vec<Said> {
    let standing = |posed: &Posed| match (&posed.inquiry, &posed.reply) {
        (Err(why), _) => Standing::Unposable(why.clone()),
        (Ok(_), None) => Standing::Unasked,
        (Ok(_), Some(reply)) if reply.came_within(posed.every + SLACK, now) => {
            Standing::Fresh { reply: reply.clone(), again: Some(posed.again(reply)) }
        }
        (Ok(_), Some(reply)) => Standing::Stale(reply.clone()),
    };
    posed.iter().map(|it| Said { asker: it.asker.clone(), standing: standing(it) }).collect()
}

/// What is to be asked now, of what nobody skips; and when something is, otherwise.
pub(crate) fn due(
    posed: &[Posed],
    gates: &[Gate],
    now: Timestamp,
) -> (Vec<Asking>, Option<Timestamp>) {
    let asking: Vec<Asking> = needed(posed, gates)
        .filter(|it| !it.reply.as_ref().is_some_and(|reply| reply.came_within(it.every, now)))
        .filter_map(Posed::asking)
        .collect();
    let next = needed(posed, gates).filter_map(|it| Some(it.again(it.reply.as_ref()?))).min();
    (asking, next)
}

/// What is to be asked once more before a promotion commits by it.
pub(crate) fn stale_for_commit(posed: &[Posed], gates: &[Gate], now: Timestamp) -> Vec<Asking> {
    let fresh = |reply: &Reply| reply.came_within(COMMIT_VALID, now);
    let stale = needed(posed, gates).filter(|it| !it.reply.as_ref().is_some_and(fresh));
    stale.filter_map(Posed::asking).collect()
}

/// The questions of gates that nobody skips: each has a gate of its own, in the same order.
fn needed<'a>(posed: &'a [Posed], gates: &'a [Gate]) -> impl Iterator<Item = &'a Posed> {
    let asks = |gate: &&Gate| matches!(gate.kind, GateKind::Ticket | GateKind::Attestation);
    posed.iter().zip(gates.iter().filter(asks)).filter(|(_, gate)| !gate.bypassed).map(|it| it.0)
}

impl Posed {
    fn again(&self, reply: &Reply) -> Timestamp {
        reply.at.checked_add(self.every).unwrap_or(Timestamp::MAX)
    }

    fn asking(&self) -> Option<Asking> {
        let (inquiry, _) = self.inquiry.as_ref().ok()?;
        Some(Asking { asker: self.asker.clone(), inquiry: inquiry.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verification::Measured;

    /// A question that is asked each minute, and was answered at the epoch.
    fn posed() -> Posed {
        let asker = Asker {
            policy: "p".parse().expect("a name"),
            gate: GateKind::Ticket,
            name: "change".to_owned(),
        };
        let source = Source::Referrer {
            repo: "registry.example/api".to_owned(),
            digest: "sha256:1".to_owned(),
            artifact_type: "scan".to_owned(),
            key: None,
            timeout: Duration::from_secs(1),
        };
        let success = "true".parse().expect("an expression");
        let inquiry = Inquiry { source, context: Context::default(), success, failure: None };
        let digest = inquiry.digest();
        let reply = Reply {
            inquiry: digest.clone(),
            at: Timestamp::UNIX_EPOCH,
            measured: Measured::Pass,
            detail: "yes".to_owned(),
        };
        let every = SignedDuration::from_secs(60);
        Posed { asker, every, inquiry: Ok((inquiry, digest)), reply: Some(reply) }
    }

    fn gate(bypassed: bool) -> Gate {
        Gate {
            kind: GateKind::Ticket,
            policies: Vec::new(),
            verdict: crate::gate::Verdict::Pass,
            message: String::new(),
            until: None,
            bypassed,
        }
    }

    #[test]
    fn a_reply_is_due_then_stale_and_at_a_commit_sooner() {
        let check = |second: i64, is_due: bool, is_stale: bool, is_stale_for_commit: bool| {
            let now = Timestamp::constant(second, 0);
            let (posed, gates) = ([posed()], [gate(false)]);
            let (asking, next) = due(&posed, &gates, now);
            assert_eq!(!asking.is_empty(), is_due, "due at {second}");
            assert_eq!(next, Some(Timestamp::constant(60, 0)));
            let said = said(&posed, now);
            let stale = matches!(said[0].standing, Standing::Stale(_));
            assert_eq!(stale, is_stale, "stale at {second}");
            let asking = stale_for_commit(&posed, &gates, now);
            assert_eq!(!asking.is_empty(), is_stale_for_commit, "for a commit at {second}");
        };
        check(0, false, false, false);
        check(29, false, false, false);
        check(30, false, false, true);
        check(59, false, false, true);
        check(60, true, false, true);
        check(119, true, false, true);
        check(120, true, true, true);
        // The clock of who wrote it was ahead, by what clocks may differ, or by more.
        check(-59, false, false, false);
        check(-60, true, true, true);
    }

    #[test]
    fn what_was_never_said_is_asked_and_what_is_skipped_is_not() {
        let unasked = [Posed { reply: None, ..posed() }];
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(said(&unasked, now)[0].standing, Standing::Unasked);
        assert_eq!(due(&unasked, &[gate(false)], now).0.len(), 1);
        assert_eq!(stale_for_commit(&unasked, &[gate(false)], now).len(), 1);
        assert_eq!(due(&unasked, &[gate(true)], now), (Vec::new(), None));
        assert_eq!(stale_for_commit(&unasked, &[gate(true)], now), []);
        let unposable = [Posed { inquiry: Err("no".to_owned()), ..posed() }];
        assert_eq!(said(&unposable, now)[0].standing, Standing::Unposable("no".to_owned()));
        assert_eq!(due(&unposable, &[gate(false)], now).0, []);
    }
}
