variable "infra_repo" {
  type        = string
  description = "The git repository with the module `modules/shop`: takes `environment` and `image`, puts out `queue_id`."
}

variable "gitops_repo" {
  type        = string
  description = "The git repository that deploys: `apps/ENVIRONMENT/values.yaml` with `image.tag` and `queue.id`."
}

variable "image_repo" {
  type        = string
  description = "The repository of the application's images, such as `registry.example.com/shop/api`."
}

variable "app_urls" {
  type        = map(string)
  description = "Where the application answers, by environment: `dev`, `staging`, `prod`."
}

variable "project" {
  type        = string
  description = "The project."
  default     = "shop"
}

variable "prometheus_url" {
  type        = string
  description = "The base URL of Prometheus, if there is one: prod is then verified by its error rate too."
  default     = null
}

variable "insecure_registry" {
  type        = bool
  description = "Whether the registry is spoken to without TLS."
  default     = false
}

variable "interval" {
  type        = string
  description = "How often repository and registry are asked for new versions."
  default     = "1m"
}

variable "verification_interval" {
  type        = string
  description = "Time between two measurements."
  default     = "15s"
}

variable "soak" {
  type        = string
  description = "How long a version must have been good in dev before staging takes it."
  default     = "10m"
}

variable "settle" {
  type        = string
  description = "How long definitions must have been at rest before automation acts on them."
  default     = "30s"
}

variable "approvals" {
  type        = number
  description = "How many people of the group `sre` must approve for prod."
  default     = 2
}
