locals {
  chart = provider::lockstep::oci_pull("chart", {
    image      = "registry.example.com/charts/shop:{{ vars.chart_version }}"
    media_type = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    to         = "chart.tgz"
  })
}
