//! `lockstep credential`: who a project is towards servers. Secrets come from files and standard
//! input, never from arguments, which every user of a machine can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use reconciler_api::v1::{
    Credential, CredentialKind, CredentialSpec, Kind, Precondition, Secret, SecretFrom,
};

use crate::failure::Failure;
use crate::render::{one, table_of};
use crate::session::Session;

/// Arguments of `lockstep credential`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the credentials, without their secrets
    List {
        /// Show this one in full
        name: Option<String>,
    },
    /// Define a credential; without --secret and --from the stored secrets stay
    Set(Set),
    /// Delete a credential and its secrets
    Delete {
        /// Which
        name: String,
    },
}

#[derive(Args)]
struct Set {
    /// Its name in the project
    name: String,
    /// What it is used for: git, image or http
    #[arg(long)]
    kind: CredentialKind,
    /// Where it is used, and nowhere else, such as `https://git.example.com/team`
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The user name that goes with a password
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// What it is for, in a sentence
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// A secret and the file that holds it, - for standard input; may be given again
    #[arg(long = "secret", value_name = "KEY=FILE")]
    secrets: Vec<String>,
    /// A secret and the variable in which the daemon finds it; may be given again
    #[arg(long, value_name = "KEY=VARIABLE")]
    from_env: Vec<String>,
    /// A secret and the file in which the daemon finds it; may be given again
    #[arg(long, value_name = "KEY=PATH")]
    from_file: Vec<String>,
    /// What you call this version of the secrets
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
}

/// `KEY=VALUE`.
struct Keyed {
    key: String,
    value: String,
}

impl Keyed {
    /// Reads it. Not clap does, which repeats what it does not understand: somebody may have put the
    /// secret there.
    fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err(Failure::NotKeyed),
        }
    }

    fn parse_all(texts: &[String]) -> Result<Vec<Self>, Failure> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.action {
        Action::List { name } => list(name, session).await,
        Action::Set(set) => define(set, session).await,
        Action::Delete { name } => delete(&name, session).await,
    }
}

async fn list(name: Option<String>, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    match name {
        Some(name) => {
            let credential: Credential = session.client.get(&project, &name).await?;
            session.out.answer(&credential, |credential| one(credential, session.now))
        }
        None => {
            let all: Vec<Credential> = session.client.list_all(&project).await?;
            session.out.answer(&all, |all| table_of(all, session.now))
        }
    }
}

async fn define(set: Set, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    let Set { name, kind, address, username, description, secrets, from_env, from_file, version } =
        set;
    let env = Keyed::parse_all(&from_env)?.into_iter().map(|it| SecretFrom {
        key: it.key,
        env: Some(it.value),
        file: None,
    });
    let file = Keyed::parse_all(&from_file)?.into_iter().map(|it| SecretFrom {
        key: it.key,
        env: None,
        file: Some(it.value),
    });
    let from = env.chain(file).collect();
    let data = if secrets.is_empty() { None } else { Some(read_all(Keyed::parse_all(&secrets)?)?) };
    let spec = CredentialSpec { description, kind, address, username, version, from, data };
    let put = session.client.put::<Credential>(&project, &name, &spec, Precondition::None);
    let credential = put.await?;
    session.out.answer(&credential, |credential| one(credential, session.now))
}

fn read_all(secrets: Vec<Keyed>) -> Result<BTreeMap<String, Secret>, Failure> {
    secrets.into_iter().map(|it| Ok((it.key, read(&it.value)?))).collect()
}

/// A secret without the line break that editors and `echo` put at its end.
fn read(file: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().read_to_string(&mut text).map(drop),
        path => fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|error| Failure::SecretFile { path: PathBuf::from(file), error })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

async fn delete(name: &str, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    session.client.delete(Kind::Credential, &project, name, Precondition::None).await?;
    session.out.note(format_args!("credential {project}/{name} and its secrets are gone"))
}
