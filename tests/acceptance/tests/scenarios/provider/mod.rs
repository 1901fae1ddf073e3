//! The provider, driven by terraform and by tofu, whichever are there.

mod conflicts;
mod credentials;
mod data;
mod examples;
mod freezes;
mod holds;
mod impact;
mod installation;
mod lifecycle;
mod lists;
mod mistakes;
mod previews;
mod promotions;
mod tasks;
mod tokens;

use acceptance::Outcome;
use acceptance::lockstepd::Lockstepd;
use acceptance::terraform::{Tool, Workspace, installed};
use serde_json::Value;

use crate::site::PROJECT;

/// What every root module begins with.
const HEAD: &str = r#"terraform {
  required_providers {
    lockstep = { source = "lockstep/lockstep" }
  }
}

provider "lockstep" {}
"#;

/// Runs a test with each tool; there is at least one.
async fn with_each_tool(test: impl AsyncFn(&Tool) -> Outcome) -> Outcome {
    for tool in installed()? {
        test(&tool).await.map_err(|failure| failure.with("with", tool.name))?;
    }
    Ok(())
}

/// A root module whose objects are in the site's project.
fn root(tool: &Tool, lockstepd: &Lockstepd, config: &str) -> Outcome<Workspace> {
    let mut root = Workspace::new(tool, lockstepd)?;
    root.set_env("LOCKSTEP_PROJECT", PROJECT);
    root.write("head.tf", HEAD)?;
    root.write("main.tf", config)?;
    Ok(root)
}

/// A text without the frame and the line breaks that the tool puts into it.
fn words(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !["│", "╷", "╵"].contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// What the tool says that is wrong, and where.
struct Mistake {
    /// The line of `main.tf`, from 1.
    line: Option<u64>,
    /// The source there, such as `soak = "1h"`.
    code: String,
    /// Summary and detail.
    text: String,
}

impl Mistake {
    fn of(diagnostic: &Value) -> Option<Self> {
        (diagnostic["severity"] == "error").then(|| Self {
            line: diagnostic["range"]["start"]["line"].as_u64(),
            code: diagnostic["snippet"]["code"].as_str().unwrap_or_default().trim().to_owned(),
            text: format!(
                "{}: {}",
                diagnostic["summary"].as_str().unwrap_or_default(),
                diagnostic["detail"].as_str().unwrap_or_default().replace('\n', " ")
            ),
        })
    }
}

/// The mistakes that `validate` finds.
async fn validated(root: &Workspace) -> Outcome<Vec<Mistake>> {
    let run = root.run(&["validate", "-json"]).await?;
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    let diagnostics = answer["diagnostics"].as_array();
    Ok(diagnostics.into_iter().flatten().filter_map(Mistake::of).collect())
}

/// The mistakes that `plan` finds.
async fn planned(root: &Workspace) -> Outcome<Vec<Mistake>> {
    let run = root.run(&["plan", "-json"]).await?.ended_with(1)?;
    let lines = run.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter_map(|line| Mistake::of(&line["diagnostic"])).collect())
}
