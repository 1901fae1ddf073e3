locals {
  release = provider::lockstep::compose_output("release", {
    outputs = {
      url     = "https://{{ vars.host }}/{{ freight.api.tag }}"
      regions = ["eu", "us"]
    }
  })
}
