//! When freight can be in a stage at the earliest, and what decides that.

use jiff::Timestamp;
use reconciler_api::v1::{Forecast, ForecastStage, NeedKind};

use super::age::instant;
use super::{or_dash, section, short};

/// The earliest arrival, the way there, what takes time, and what else it takes.
pub(crate) fn text(forecast: &Forecast, now: Timestamp) -> String {
    let delays = forecast.path.iter().flat_map(|stage| {
        stage.delays.iter().map(|delay| {
            let policies = (!delay.policies.is_empty()).then(|| delay.policies.join(", "));
            let (gate, until) = (delay.gate.to_string(), instant(delay.until));
            vec![stage.stage.clone(), gate, or_dash(policies), until, delay.message.clone()]
        })
    });
    let needs = forecast.path.iter().flat_map(|stage| {
        stage.needs.iter().map(|need| {
            let gate = or_dash(need.gate.map(|gate| gate.to_string()));
            vec![stage.stage.clone(), gate, what(need.kind).to_owned(), need.message.clone()]
        })
    });
    let sections = [
        headline(forecast, now),
        section("way", &["STAGE", "WHEN"], forecast.path.iter().map(way).collect()),
        section("takes time", &["STAGE", "GATE", "POLICY", "UNTIL", "WHY"], delays.collect()),
        section("takes besides", &["STAGE", "GATE", "WHAT", "WHY"], needs.collect()),
        "not counted: steps and checks, newer freight, and what else is promoted meanwhile"
            .to_owned(),
    ];
    let there: Vec<String> = sections.into_iter().filter(|it| !it.is_empty()).collect();
    there.join("\n\n")
}

fn headline(forecast: &Forecast, now: Timestamp) -> String {
    let Forecast { freight, stage, earliest, path } = forecast;
    let freight = short(freight);
    let since = path.last().and_then(|last| last.since);
    match (since, earliest) {
        (Some(since), _) => {
            format!("stage {stage} vouches for freight {freight} since {}", instant(since))
        }
        (None, Some(at)) if *at <= now => format!("freight {freight} can be in {stage} now"),
        (None, Some(at)) => {
            format!("freight {freight} can be in {stage} at {} at the earliest", instant(*at))
        }
        (None, None) => {
            format!("freight {freight} will not be in {stage} by what is known")
        }
    }
}

fn way(stage: &ForecastStage) -> Vec<String> {
    let when = match (stage.since, stage.earliest) {
        (Some(since), _) => format!("verified since {}", instant(since)),
        (None, Some(at)) => format!("{} at the earliest", instant(at)),
        (None, None) => "never".to_owned(),
    };
    vec![stage.stage.clone(), when]
}

fn what(kind: NeedKind) -> &'static str {
    match kind {
        NeedKind::Person => "a person",
        NeedKind::Unknown => "not known",
        NeedKind::Never => "never",
    }
}
