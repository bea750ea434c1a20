variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the service, the queue and the bucket are."
  type        = string
  default     = "europe-west1"
}

variable "name" {
  description = "What the service, the queue, the scheduler and the accounts are called by."
  type        = string
  default     = "long-batch"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "It has 4 to 22 lower-case letters, digits and hyphens, so that the accounts named after it have a valid name."
  }
}

variable "image" {
  description = "The image that deploy/Dockerfile makes, as REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG."
  type        = string
}

variable "bucket" {
  description = "The bucket of the workspace, which this module makes."
  type        = string
}

variable "schedule" {
  description = "When the batch is started, as cron writes it and in UTC; null for a batch that only others start."
  type        = string
  default     = null
}

variable "params" {
  description = "The parameters that the scheduler gives to the root."
  type        = any
  default     = {}
}

variable "dispatch_deadline" {
  description = "When the queue cuts a request off: longer than the longest task that does not save how far it is; 30m at most."
  type        = string
  default     = "10m"
}

variable "max_instances" {
  description = "More than 1 is for runs of different parameters at once: only within one process does who asks for the same join."
  type        = number
  default     = 1
}

variable "cpu" {
  description = "Processors of an instance; as many task bodies run at once."
  type        = string
  default     = "2"
}

variable "memory" {
  description = "Memory of an instance, which also holds what is written to /tmp."
  type        = string
  default     = "1Gi"
}

variable "env" {
  description = "More variables of the program, such as KART_WORKERS."
  type        = map(string)
  default     = {}
}
