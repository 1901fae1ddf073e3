//! The pages of the registry, made from the schemas and the examples.
//!
//! They are committed: this fails when they are out of date, and writes them when the environment
//! variable UPDATE is 1.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use provider_protocol::cty::Type;
use provider_protocol::provider::{Function, Parameter, Provider as _};
use provider_protocol::schema::{Identity, Schema, docs};
use provider_resources::Lockstep;

use crate::terraform::Terraform;

/// The folder of what `terraform query` finds, in the docs and in the examples.
const LISTS: &str = "list-resources";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// An example, which every page has.
fn example(path: &str) -> String {
    let path = root().join("examples/terraform").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page(title: &str, category: &str, description: &str, body: &str) -> String {
    let summary = description.split([':', '.', '\n']).next().unwrap_or_default();
    format!(
        "---\npage_title: \"{title}\"\nsubcategory: \"{category}\"\ndescription: |-\n  \
         {summary}.\n---\n\n# {title}\n\n{}\n\n{body}",
        description.trim()
    )
}

fn usage(code: &str) -> String {
    format!("## Example Usage\n\n```terraform\n{}\n```\n\n", code.trim())
}

fn resource(name: &str, schema: &Schema, identity: Option<&Identity>) -> String {
    let folder = format!("resources/{name}");
    let import = example(&format!("{folder}/import.sh"));
    let body = format!(
        "{}{}\n## Import\n\n```shell\n{}\n```\n{}",
        usage(&example(&format!("{folder}/resource.tf"))),
        docs::render(schema),
        import.trim(),
        identity.map_or_else(
            || "\nIt has no identity: import it by its id.\n".to_owned(),
            |identity| by_identity(name, import.trim(), identity)
        )
    );
    page(&format!("{name} (Resource)"), "", &schema.block.description, &body)
}

/// The same with an identity, and how to find all of them, for clients that know of that.
fn by_identity(name: &str, import: &str, identity: &Identity) -> String {
    let mut words = import.split_whitespace().skip(2);
    let (address, id) = (words.next().unwrap(), words.next().unwrap());
    let (project, object) = id.split_once('/').unwrap_or(("", id));
    let width = identity.attributes.keys().map(String::len).max().unwrap();
    let parts = identity.attributes.keys().map(|part| {
        let value = match part.as_str() {
            "project" => project,
            "name" => object,
            other => panic!("{other} of {name} has no place in {id}"),
        };
        format!("    {part:width$} = \"{value}\"\n")
    });
    format!(
        "\nSince Terraform 1.12 by identity:\n\n```terraform\nimport {{\n  to = {address}\n  \
         identity = {{\n{}  }}\n}}\n```\n\nSince Terraform 1.14 `terraform query` finds all of them, \
         with a [list resource](../{}).\n",
        parts.collect::<String>(),
        file(LISTS, name)
    )
}

fn list_resource(name: &str, schema: &Schema) -> String {
    let code = example(&format!("{LISTS}/{name}/list-resource.tfquery.hcl"));
    let config = match schema.block.attributes.is_empty() {
        true => "",
        false => " The attributes below stand in its `config` block.",
    };
    let body = format!(
        "Since Terraform 1.14, in a file that ends in `.tfquery.hcl`: `terraform query` shows what it \
         finds, and with `-generate-config-out=FILE` writes the configuration and the `import` blocks \
         of it.{config}\n\n{}{}",
        usage(&code),
        docs::render(schema)
    );
    page(&format!("{name} (List Resource)"), "", &schema.block.description, &body)
}

fn data_source(name: &str, schema: &Schema) -> String {
    let code = example(&format!("data-sources/{name}/data-source.tf"));
    let body = format!("{}{}", usage(&code), docs::render(schema));
    page(&format!("{name} (Data Source)"), "", &schema.block.description, &body)
}

fn ephemeral_resource(name: &str, schema: &Schema) -> String {
    let code = example(&format!("ephemeral-resources/{name}/ephemeral-resource.tf"));
    let body = format!("{}{}", usage(&code), docs::render(schema));
    page(&format!("{name} (Ephemeral Resource)"), "", &schema.block.description, &body)
}

fn action(name: &str, schema: &Schema) -> String {
    let code = example(&format!("actions/{name}/action.tf"));
    let body = format!(
        "Since Terraform 1.14. The change of a resource triggers it, or somebody invokes it by hand: \
         `terraform apply -invoke=action.{name}.NAME`.\n\n{}{}",
        usage(&code),
        docs::render(schema)
    );
    page(&format!("{name} (Action)"), "", &schema.block.description, &body)
}

fn index(schema: &Schema) -> String {
    let installation =
        include_str!("installation.md").replace("VERSION", env!("CARGO_PKG_VERSION"));
    let usage = usage(&example("provider/provider.tf"));
    let body = format!("{usage}{}\n{installation}", docs::render(schema));
    page("Lockstep Provider", "", &schema.block.description, &body)
}

fn function(function: &dyn Function) -> String {
    let signature = function.signature();
    let name = function.name();
    let mut body = usage(&example(&format!("functions/{name}/function.tf")));
    let parameters: Vec<String> = signature
        .parameters
        .iter()
        .map(|Parameter { name, ty, .. }| format!("{name} {}", type_name(ty)))
        .collect();
    write!(
        body,
        "## Signature\n\n```text\n{name}({}) {}\n```\n\n## Arguments\n\n",
        parameters.join(", "),
        type_name(&signature.result)
    )
    .unwrap();
    for (at, Parameter { name, ty, description, .. }) in signature.parameters.iter().enumerate() {
        writeln!(body, "{}. `{name}` ({}) {description}", at + 1, type_name(ty)).unwrap();
    }
    let is_step = |fields: &BTreeMap<String, Type>| fields.contains_key("uses");
    if matches!(&signature.result, Type::Object(fields) if is_step(fields)) {
        body.push_str(
            "\n## Return Type\n\nA step: an object `{ name, uses, config }` for `steps`.\n",
        );
    }
    page(&format!("{name} (Function)"), "", &signature.description, &body)
}

fn type_name(ty: &Type) -> &'static str {
    match ty {
        Type::String => "string",
        Type::Bool => "bool",
        Type::Number => "number",
        Type::Object(_) => "object",
        Type::Dynamic => "dynamic",
        other => panic!("{other} is no type of a parameter"),
    }
}

/// The page of a type or a function.
fn file(folder: &str, name: &str) -> String {
    format!("{folder}/{}.md", name.strip_prefix("lockstep_").unwrap_or(name))
}

fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::from([("index.md".to_owned(), index(&Lockstep.schema()))]);
    for it in Lockstep.resources() {
        let page = resource(it.type_name(), &it.schema(), it.identity().as_ref());
        pages.insert(file("resources", it.type_name()), page);
    }
    for it in Lockstep.data_sources() {
        let page = data_source(it.type_name(), &it.schema());
        pages.insert(file("data-sources", it.type_name()), page);
    }
    for it in Lockstep.ephemeral_resources() {
        let page = ephemeral_resource(it.type_name(), &it.schema());
        pages.insert(file("ephemeral-resources", it.type_name()), page);
    }
    for it in Lockstep.list_resources() {
        pages.insert(file(LISTS, it.type_name()), list_resource(it.type_name(), &it.schema()));
    }
    for it in Lockstep.actions() {
        pages.insert(file("actions", it.type_name()), action(it.type_name(), &it.schema()));
    }
    for it in Lockstep.functions() {
        pages.insert(file("functions", it.name()), function(it.as_ref()));
    }
    pages
}

/// The files of the generated folders.
fn committed(docs: &Path) -> BTreeMap<String, String> {
    let folders =
        ["resources", "data-sources", "ephemeral-resources", LISTS, "actions", "functions"];
    let mut files = vec!["index.md".to_owned()];
    for folder in folders {
        for entry in fs::read_dir(docs.join(folder)).into_iter().flatten() {
            files.push(format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap()));
        }
    }
    let read = |file: String| Some((file.clone(), fs::read_to_string(docs.join(&file)).ok()?));
    files.into_iter().filter_map(read).collect()
}

#[test]
fn the_pages_are_up_to_date() {
    let docs = root().join("docs");
    let (pages, committed) = (pages(), committed(&docs));
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        for stale in committed.keys().filter(|name| !pages.contains_key(*name)) {
            fs::remove_file(docs.join(stale)).unwrap();
        }
        for (name, page) in &pages {
            let path = docs.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, page).unwrap();
        }
        return;
    }
    let differ: Vec<&String> = pages
        .keys()
        .chain(committed.keys())
        .filter(|name| pages.get(*name) != committed.get(*name))
        .collect();
    assert!(differ.is_empty(), "out of date, run `make docs`: {differ:?}");
}

/// Folders with configuration in them.
fn example_folders(below: &Path, found: &mut Vec<PathBuf>) {
    let entries: Vec<PathBuf> =
        fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()).collect();
    if entries.iter().any(|path| path.extension().is_some_and(|extension| extension == "tf")) {
        found.push(below.to_owned());
    }
    entries.iter().filter(|path| path.is_dir()).for_each(|path| example_folders(path, found));
}

/// By the tool, but for actions: those need a newer one, and are checked over the wire.
#[test]
fn every_example_is_valid() {
    let mut folders = Vec::new();
    let examples = root().join("examples/terraform");
    example_folders(&examples, &mut folders);
    folders.retain(|folder| !folder.starts_with(examples.join("actions")));
    assert!(folders.len() > 10, "{folders:?}");
    for folder in folders {
        let terraform = Terraform::new("");
        let mut parts: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "tf"))
            .collect();
        parts.sort();
        let texts: Vec<String> =
            parts.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        terraform.write(&texts.join("\n"));
        assert_eq!(terraform.validate(), [""; 0], "{}", folder.display());
    }
}
