locals {
  cargo = provider::lockstep::toml_parse("cargo", {
    path    = "src/Cargo.toml"
    outputs = { version = "document.package.version" }
  })
}
