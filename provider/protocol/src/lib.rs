//! The Terraform/OpenTofu plugin protocol, version 6: values, schemas, the plan rules and the server.
