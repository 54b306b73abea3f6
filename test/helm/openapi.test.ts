import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "./harness/manifest.ts";
import { findValidator } from "./harness/kubernetes-schemas.ts";
import { findHelm, newestKubernetes, oldestKubernetes, parseManifests, valueFiles } from "./harness/render.ts"; // prettier-ignore

for (const version of [oldestKubernetes, newestKubernetes]) {
  void test(`Kubernetes ${version} takes every manifest of every file of values`, (context) => {
    const helm = findHelm(context);
    const validate = helm && findValidator(context, version);
    if (helm === undefined || validate === undefined) return;
    const kinds = new Set<string>();
    const problems: string[] = [];
    for (const values of valueFiles) {
      for (const manifest of helm.render({ values, kubernetes: version }).manifests) {
        kinds.add(manifest.kind);
        for (const problem of validate(manifest)) {
          problems.push(`${values}: ${manifest.kind} ${manifest.metadata.name}${problem}`);
        }
      }
    }
    assert.deepEqual(problems, []);
    const seen = [...kinds].sort().join(" ");
    assert.equal(
      seen,
      "Certificate ClusterRole ClusterRoleBinding ConfigMap DaemonSet Deployment HorizontalPodAutoscaler Job " +
        "NetworkPolicy Pod PodDisruptionBudget PodMonitor PrometheusRule Role RoleBinding Service ServiceAccount " +
        "ServiceMonitor StatefulSet",
    );
  });

  void test(`the schemas of ${version} find what is wrong with a manifest`, (context) => {
    const helm = findHelm(context);
    const validate = helm && findValidator(context, version);
    if (helm === undefined || validate === undefined) return;
    const { text } = helm.render({ values: "operator", kubernetes: version });
    const damages = [
      { from: "terminationGracePeriodSeconds: 60", to: "terminationGraceSeconds: 60" },
      { from: "podManagementPolicy: Parallel", to: "podManagementPolicy: [Parallel]" },
      { from: "readOnlyRootFilesystem: true", to: "readOnlyRootFilesystem: yes please" },
      { from: "serviceName: ", to: "service: " },
      { from: "jobLabel: ", to: "labelOfJob: " },
      { from: "  groups:", to: "  gruppen:" },
      { from: "apiVersion: policy/v1", to: "apiVersion: policy/v1beta1" },
    ];
    for (const { from, to } of damages) {
      const damaged = text.replace(from, to);
      assert.notEqual(damaged, text, from);
      const problems = parseManifests(damaged).flatMap((manifest: Manifest) => validate(manifest));
      assert.ok(problems.length > 0, `${to} was not noticed`);
    }
  });
}
