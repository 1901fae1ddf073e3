locals {
  chart = provider::lockstep::yaml_parse("chart", {
    path    = "src/chart/Chart.yaml"
    outputs = { version = "document.version", names = "document.dependencies.map(d, d.name)" }
  })
}
