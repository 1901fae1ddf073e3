//! The graph as Mermaid draws it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Pipeline, PipelineStage};
use crate::v1::{Condition, ConditionStatus};

/// How much of a freight's id people read.
const FREIGHT_LENGTH: usize = 10;

impl Pipeline {
    /// The graph as a Mermaid flowchart, the same for the same graph. No name can be more than a
    /// text in it.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut chart = "flowchart LR\n".to_owned();
        let mut line = |text: String| {
            chart.push_str("  ");
            chart.push_str(&text);
            chart.push('\n');
        };
        let warehouses = numbered("w", self.warehouses.iter().map(String::as_str));
        let stages = numbered("s", self.stages.iter().map(|stage| stage.name.as_str()));
        for name in &self.warehouses {
            line(format!("{}[(\"{}\")]", warehouses[name.as_str()], escaped(name)));
        }
        for stage in &self.stages {
            let (id, text) = (&stages[stage.name.as_str()], label(stage));
            line(if stage.control_flow {
                format!("{id}([\"{text}\"])")
            } else {
                format!("{id}[\"{text}\"]")
            });
        }
        for edge in &self.edges {
            let from = match &edge.from {
                None => warehouses.get(edge.warehouse.as_str()),
                Some(from) => stages.get(from.as_str()),
            };
            let (Some(from), Some(to)) = (from, stages.get(edge.to.as_str())) else { continue };
            line(format!("{from} -->|\"{}\"| {to}", escaped(&edge.warehouse)));
        }
        for (number, policy) in (1..).zip(&self.policies) {
            let text = format!("{}: {}", escaped(&policy.name), policy.mode);
            line(format!("p{number}{{{{\"{text}\"}}}}"));
            for stage in policy.stages.iter().filter_map(|stage| stages.get(stage.as_str())) {
                line(format!("p{number} -.- {stage}"));
            }
        }
        chart
    }
}

/// Ids that mean nothing to Mermaid, as names might.
fn numbered<'n>(kind: &str, names: impl Iterator<Item = &'n str>) -> BTreeMap<&'n str, String> {
    (1..).zip(names).map(|(number, name)| (name, format!("{kind}{number}"))).collect()
}

fn label(stage: &PipelineStage) -> String {
    let mut lines = vec![escaped(&stage.name)];
    for (warehouse, current) in &stage.current {
        let freight: String = current.freight.chars().take(FREIGHT_LENGTH).collect();
        let verified = if current.verified_at.is_some() { "" } else { ", not verified" };
        lines.push(format!("{} {}{verified}", escaped(warehouse), escaped(&freight)));
    }
    if let Some(promotion) = &stage.promotion {
        lines.push(format!("{} {}", escaped(&promotion.id), promotion.phase));
    }
    let waits = |it: &&Condition| it.kind == "UpToDate" && it.status == ConditionStatus::False;
    lines.extend(stage.conditions.iter().find(waits).map(|it| escaped(&it.reason)));
    lines.join("<br/>")
}

/// A text that Mermaid shows as it is: within quotes only these mean something to it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '#' | '&' | '<' | '>' | '`' | ';' | '\\' | '\n' | '\r' => {
                // A `String` takes everything that is written to it.
                let _ = write!(escaped, "#{};", u32::from(letter));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::{PipelineEdge, PipelinePolicy};
    use super::*;
    use crate::v1::{ActivePromotion, CurrentFreight, Mode, Phase};

    fn stage(name: &str) -> PipelineStage {
        PipelineStage {
            name: name.to_owned(),
            control_flow: false,
            mode: Mode::Gated,
            policies: Vec::new(),
            current: BTreeMap::new(),
            promotion: None,
            conditions: Vec::new(),
        }
    }

    fn edge(from: Option<&str>, to: &str) -> PipelineEdge {
        let from = from.map(str::to_owned);
        PipelineEdge { warehouse: "shop".to_owned(), from, to: to.to_owned() }
    }

    #[test]
    fn a_graph_is_drawn() {
        let freight = "684cd5449560c5e05ffe596c075345899ce8b03e".to_owned();
        let current = CurrentFreight {
            freight: freight.clone(),
            promotion: None,
            entered_at: jiff::Timestamp::UNIX_EPOCH,
            verified_at: None,
        };
        let promotion = ActivePromotion {
            id: "prod.3".to_owned(),
            freight,
            along: Vec::new(),
            phase: Phase::Waiting,
        };
        let waits = Condition {
            kind: "UpToDate".to_owned(),
            status: ConditionStatus::False,
            reason: "Approvals".to_owned(),
            message: "needs 1 approval".to_owned(),
        };
        let pipeline = Pipeline {
            warehouses: vec!["shop".to_owned()],
            stages: vec![
                PipelineStage {
                    current: BTreeMap::from([("shop".to_owned(), current)]),
                    ..stage("dev")
                },
                PipelineStage { control_flow: true, ..stage("ready") },
                PipelineStage {
                    promotion: Some(promotion),
                    conditions: vec![waits],
                    ..stage("prod")
                },
            ],
            policies: vec![PipelinePolicy {
                name: "prod".to_owned(),
                mode: Mode::Gated,
                stages: vec!["prod".to_owned(), "gone".to_owned()],
            }],
            edges: vec![edge(None, "dev"), edge(Some("dev"), "ready"), edge(Some("ready"), "prod")],
        };
        insta::assert_snapshot!(pipeline.to_mermaid(), @r#"
        flowchart LR
          w1[("shop")]
          s1["dev<br/>shop 684cd54495, not verified"]
          s2(["ready"])
          s3["prod<br/>prod.3 waiting<br/>Approvals"]
          w1 -->|"shop"| s1
          s1 -->|"shop"| s2
          s2 -->|"shop"| s3
          p1{{"prod: gated"}}
          p1 -.- s3
        "#);
    }

    #[test]
    fn a_name_is_a_text_and_nothing_else() {
        let hostile = "a\"] --> b;\n%%{init}%% <script>`#quot;&";
        let pipeline = Pipeline { stages: vec![stage(hostile)], ..Pipeline::default() };
        insta::assert_snapshot!(pipeline.to_mermaid(), @r#"
        flowchart LR
          s1["a#34;] --#62; b#59;#10;%%{init}%% #60;script#62;#96;#35;quot#59;#38;"]
        "#);
    }
}
