//! `lockstep input`: gives the values that a step asks for.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::Args;
use reconciler_api::v1::{AnswerStep, Question};
use reconciler_domain::step::Form;
use serde_json::{Map, Value};

use super::approve::question;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `lockstep input`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
    /// The step that asks (`get_input`)
    #[arg(long, value_name = "NAME")]
    step: String,
    /// A value; what the step does not ask for as text is read as JSON
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// A JSON object with values, - for standard input; values beside it win
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What to say with it; it is recorded
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let mut values = match &arguments.file {
        Some(file) => read(file)?,
        None => Map::new(),
    };
    let promotion = session.client.promotion(&project, &arguments.promotion).await?;
    let question = question(&promotion, &arguments.step)?;
    for given in &arguments.values {
        let (name, text) = given.split_once('=').ok_or(Failure::NotAValue)?;
        values.insert(name.to_owned(), value(question, name, text));
    }
    let answer = AnswerStep {
        digest: question.digest.clone(),
        approve: None,
        values: Some(values),
        comment: arguments.comment,
    };
    let step = &arguments.step;
    let answered = session.client.answer_step(&project, &promotion.id, step, &answer).await?;
    session.out.answer(&answered, |it| format!("answered step {step} of promotion {}", it.id))
}

/// The text, or what it is as JSON where the step does not ask for a text. The daemon says what does not
/// fit.
fn value(question: &Question, name: &str, text: &str) -> Value {
    let form = question.schema.as_ref().and_then(|schema| Form::parse(schema).ok());
    let as_is = form.is_some_and(|form| form.is_text(name));
    let parsed = if as_is { None } else { serde_json::from_str(text).ok() };
    parsed.unwrap_or_else(|| Value::from(text))
}

fn read(file: &PathBuf) -> Result<Map<String, Value>, Failure> {
    let failed = |why: String| Failure::ValuesFile { path: file.clone(), why };
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let text = text.map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
