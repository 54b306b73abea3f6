import type { GoProgram } from "./go-program.ts";

export const consulProgram: GoProgram = {
  name: "consul",
  variable: "MILLRACE_CONSUL",
  version: "1.22.3",
  goNeeded: [1, 25],
  // Its own go.mod excludes these two, and what a dependency excludes does not count.
  goModule: `require github.com/hashicorp/consul v1.22.3

exclude (
	github.com/hashicorp/go-msgpack v1.1.5
	github.com/hashicorp/go-msgpack v1.1.6
)`,
  packagePath: "github.com/hashicorp/consul",
};

export const helmProgram: GoProgram = {
  name: "helm",
  variable: "MILLRACE_HELM",
  version: "3.22.0",
  goNeeded: [1, 26],
  goModule: "require helm.sh/helm/v3 v3.22.0",
  packagePath: "helm.sh/helm/v3/cmd/helm",
};

export const prometheusProgram: GoProgram = {
  name: "prometheus",
  variable: "MILLRACE_PROMETHEUS",
  version: "0.316.0",
  goNeeded: [1, 26],
  goModule: "require github.com/prometheus/prometheus v0.316.0",
  packagePath: "github.com/prometheus/prometheus/cmd/prometheus",
  // Without the other ways to discover targets: not all of their modules can be had.
  tags: "remove_all_sd,enable_consul_sd,enable_dns_sd,enable_kubernetes_sd",
};

/** Prometheus' own checker of rules. */
export const promtoolProgram: GoProgram = {
  ...prometheusProgram,
  name: "promtool",
  variable: "MILLRACE_PROMTOOL",
  packagePath: "github.com/prometheus/prometheus/cmd/promtool",
};
